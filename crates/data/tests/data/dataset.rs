//! A data set checks its images and labels, and returns exactly these.

use crate::common::{Bytes, assert_says};
use duet_data::{Dataset, Picture, Shape, Splits, class_index};

const SHAPE: Shape = Shape { channels: 1, height: 2, width: 3 };

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn dataset() -> Dataset {
    Dataset::new(SHAPE, (0..24).collect(), vec![1, 0, 1, 1], names(&["a", "b"])).unwrap()
}

#[test]
fn it_gives_back_what_it_was_made_of() {
    let dataset = dataset();
    assert_eq!((dataset.len(), dataset.is_empty()), (4, false));
    assert_eq!(dataset.shape(), SHAPE);
    assert_eq!(dataset.classes(), names(&["a", "b"]));
    assert_eq!(dataset.labels(), [1, 0, 1, 1]);
    assert_eq!(dataset.label(1), 0);
    assert_eq!(dataset.bytes(2), [12, 13, 14, 15, 16, 17]);
    assert_eq!(dataset.class_counts(), [1, 3]);
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let refusal = |shape, pixels: usize, labels: &[u32], classes: &[&str]| {
        Dataset::new(shape, vec![0; pixels], labels.to_vec(), names(classes)).unwrap_err().to_string()
    };
    assert_says(&refusal(SHAPE, 11, &[0, 0], &["a"]), &["2 labels", "12 pixels", "11"]);
    assert_says(&refusal(SHAPE, 12, &[0, 1], &["a"]), &["label 1 of image 1"]);
    assert_says(&refusal(SHAPE, 0, &[], &[]), &["no classes"]);
    assert_says(&refusal(SHAPE, 0, &[], &["a", "a"]), &["\"a\""]);
    assert_says(&refusal(SHAPE, 0, &[], &["a", " "]), &["class 1 is empty"]);
    let empty = Shape { width: 0, ..SHAPE };
    assert_says(&refusal(empty, 0, &[0], &["a"]), &["1x2x0"]);
    let huge = Shape { channels: usize::MAX, ..SHAPE };
    assert_says(&refusal(huge, 6, &[0], &["a"]), &["too many"]);
}

#[test]
fn bytes_scale_to_the_unit_range_and_exactly_back() {
    let shape = Shape { channels: 1, height: 16, width: 16 };
    let dataset = Dataset::new(shape, (0..=255).collect(), vec![0], names(&["all"])).unwrap();
    let mut values = vec![f32::NAN; 256];
    dataset.image(0, &mut values);
    assert_eq!((values[0], values[255]), (-1.0, 1.0));
    assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
    for (v, value) in values.iter().enumerate() {
        assert_eq!(*value, v as f32 / 127.5 - 1.0);
    }
    assert_eq!(Picture::from_unit(1, 16, 16, &values).pixels, dataset.bytes(0));
}

#[test]
fn images_of_ones_own_come_back_as_they_were_made() {
    let source = dataset();
    let copy = Dataset::from_fn(SHAPE, names(&["a", "b"]), source.len(), |i, image| {
        source.image(i, image);
        source.label(i)
    });
    let copy = copy.unwrap();
    assert_eq!(copy, source);
    assert_eq!(copy.fingerprint(), source.fingerprint());
}

#[test]
fn images_of_ones_own_are_checked() {
    let made = |shape, value: f32, label| {
        Dataset::from_fn(shape, names(&["a"]), 2, |i, image| {
            image.fill(if i == 1 { value } else { 0.0 });
            label
        })
    };
    assert_eq!(made(SHAPE, 9.0, 0).unwrap().bytes(1), [255; 6]);
    assert_eq!(made(SHAPE, 9.0, 0).unwrap().bytes(0), [128; 6]);
    assert_says(&made(SHAPE, f32::NAN, 0).unwrap_err().to_string(), &["value 0 of image 1 is NaN"]);
    assert_says(&made(SHAPE, 0.0, 1).unwrap_err().to_string(), &["label 1 of image 0"]);
    let empty = Shape { width: 0, ..SHAPE };
    assert_says(&made(empty, 0.0, 0).unwrap_err().to_string(), &["1x2x0"]);
}

#[test]
fn parts_of_a_set_share_shape_and_classes() {
    let splits = Splits::new("mine", dataset(), dataset()).unwrap();
    assert_eq!(splits.describe(), "mine: 4 training and 4 test images, 1x2x3, 2 classes");
    let other = Dataset::new(SHAPE, Vec::new(), Vec::new(), names(&["a", "c"])).unwrap();
    assert_says(&Splits::new("mine", dataset(), other).unwrap_err().to_string(), &["\"b\"", "\"c\""]);
    let turned = Shape { channels: 1, height: 3, width: 2 };
    let turned = Dataset::new(turned, Vec::new(), Vec::new(), names(&["a", "b"])).unwrap();
    assert_says(&Splits::new("mine", dataset(), turned).unwrap_err().to_string(), &["1x2x3", "1x3x2"]);
}

#[test]
#[should_panic(expected = "out has not the values of shape 1x2x3")]
fn an_output_of_the_wrong_length_panics() {
    dataset().image(0, &mut [0.0; 5]);
}

#[test]
fn the_fingerprint_covers_everything() {
    let base = dataset().fingerprint();
    assert_eq!(base.len(), 64);
    assert_eq!(dataset().fingerprint(), base);
    let make = |shape, pixels: Vec<u8>, labels: &[u32], classes: &[&str]| {
        Dataset::new(shape, pixels, labels.to_vec(), names(classes)).unwrap().fingerprint()
    };
    let pixels: Vec<u8> = (0..24).collect();
    let turned = Shape { channels: 1, height: 3, width: 2 };
    let mut other = pixels.clone();
    other[23] = 0;
    let labels = [1, 0, 1, 1];
    assert_ne!(make(turned, pixels.clone(), &labels, &["a", "b"]), base);
    assert_ne!(make(SHAPE, other, &labels, &["a", "b"]), base);
    assert_ne!(make(SHAPE, pixels.clone(), &[1, 0, 1, 0], &["a", "b"]), base);
    assert_ne!(make(SHAPE, pixels.clone(), &labels, &["a", "c"]), base);
    assert_ne!(make(SHAPE, pixels, &labels, &["a", "b", "c"]), base);
}

fn splits(pixels: Vec<u8>, labels: Vec<u32>, names_of: &[&str]) -> Splits {
    let shape = Shape { channels: 1, height: 1, width: pixels.len() / labels.len() };
    let train = Dataset::new(shape, pixels, labels, names(names_of)).unwrap();
    let test = Dataset::new(shape, Vec::new(), Vec::new(), names(names_of)).unwrap();
    Splits { name: "some".into(), train, test, left_out: Vec::new() }
}

#[test]
fn classes_without_an_image_are_warned_about() {
    let found = splits(vec![0, 255, 0, 255], vec![2, 1], &["a", "b", "c", "d"]).warnings();
    assert!(
        found.len() == 1 && found[0].contains("2 of 4 classes") && found[0].contains(": a, d;"),
        "{found:?}"
    );
}

/// One-pixel images, so many of each class.
fn counted(counts: &[(&str, usize)]) -> Splits {
    let labels: Vec<u32> = (0..).zip(counts).flat_map(|(label, (_, n))| vec![label; *n]).collect();
    splits(vec![0; labels.len()], labels, &counts.iter().map(|(name, _)| *name).collect::<Vec<_>>())
}

#[test]
fn classes_of_fewer_than_twenty_images_are_warned_about_with_their_numbers() {
    let few = counted(&[("cat", 20), ("dog", 19), ("fox", 0), ("hen", 3)]);
    for balanced in [false, true] {
        let found = few.class_warnings(balanced);
        assert!(found.len() == 1 && found[0].starts_with("2 of 3 classes"), "{found:?}");
        assert!(found[0].contains(": hen (3), dog (19);"), "{found:?}");
    }
    assert!(counted(&[("cat", 20), ("fox", 0)]).class_warnings(false).is_empty());
    let names: Vec<String> = (0..30).map(|i| format!("c{i}")).collect();
    let many = counted(&names.iter().map(|name| (name.as_str(), 2)).collect::<Vec<_>>());
    let found = many.class_warnings(false);
    assert!(found[0].contains("c9 (2) and others;") && !found[0].contains("c10"), "{found:?}");
}

#[test]
fn unequal_classes_are_warned_about_unless_training_balances_them() {
    let unequal = counted(&[("cat", 2050), ("dog", 300), ("fox", 20), ("hen", 0)]);
    let found = unequal.class_warnings(false);
    assert!(found.len() == 1 && found[0].contains("102 : 1"), "{found:?}");
    for named in ["cat has 2050 training images and fox 20", "--balance"] {
        assert!(found[0].contains(named), "{found:?}");
    }
    assert!(unequal.class_warnings(true).is_empty());
    assert!(counted(&[("cat", 1999), ("fox", 20)]).class_warnings(false).is_empty(), "99.95 : 1");
    assert_eq!(counted(&[("cat", 2000), ("fox", 20)]).class_warnings(false).len(), 1, "100 : 1");
    assert!(duet_data::digits().unwrap().class_warnings(false).is_empty());
}

#[test]
fn up_to_twelve_classes_are_listed_and_of_more_the_fewest_and_the_most() {
    let line = counted(&[("cat", 30), ("dog", 4)]).describe_classes();
    assert_eq!(line.unwrap(), "training images of a class: cat 30, dog 4");
    let names: Vec<String> = (0..13).map(|i| format!("c{i}")).collect();
    let counts: Vec<_> = (1..).zip(&names).map(|(n, name)| (name.as_str(), n)).collect();
    let line = counted(&counts[..12]).describe_classes().unwrap();
    assert!(line.ends_with("c10 11, c11 12"), "{line}");
    let line = counted(&counts).describe_classes();
    assert_eq!(line.unwrap(), "training images of a class: 1 (c0) to 13 (c12)");
    assert_eq!(counted(&[("all", 30)]).describe_classes(), None);
}

#[test]
fn blank_images_are_warned_about() {
    let found = splits(vec![255, 255, 0, 255], vec![0, 0], &["a"]).warnings();
    assert!(found.len() == 1 && found[0].contains("1 of 2 images are blank"), "{found:?}");
    assert!(splits(vec![255, 0], vec![0, 0], &["a"]).warnings().is_empty(), "images of one pixel");
}

#[test]
fn images_of_few_values_are_warned_about() {
    let found = splits(vec![0, 15, 3, 9], vec![0, 0], &["a"]).warnings();
    assert!(found.len() == 1 && found[0].contains("values 0 to 15") && found[0].contains("6 %"), "{found:?}");
    assert!(splits(vec![0, 63], vec![0], &["a"]).warnings().is_empty());
    assert_eq!(duet_data::digits().unwrap().warnings(), Vec::<String>::new());
}

#[test]
fn the_first_of_each_class_keep_their_order() {
    let taken = dataset().take_per_class(2);
    assert_eq!(taken.labels(), [1, 0, 1]);
    assert_eq!(taken.bytes(2), dataset().bytes(2));
    assert_eq!(taken.classes(), dataset().classes());
    assert!(dataset().take_per_class(0).is_empty());
}

#[test]
fn a_class_is_meant_by_exact_name_then_any_case_then_index() {
    let animals = names(&["Cat", "dog", "DOG", "1"]);
    assert_eq!(class_index(&animals, "Cat"), Some(0));
    assert_eq!(class_index(&animals, "cat"), Some(0));
    assert_eq!(class_index(&animals, "dog"), Some(1));
    assert_eq!(class_index(&animals, "DOG"), Some(2));
    assert_eq!(class_index(&animals, "Dog"), None, "two classes fit");
    assert_eq!(class_index(&animals, "1"), Some(3), "a name before an index");
    assert_eq!(class_index(&animals, "2"), Some(2));
    assert_eq!(class_index(&animals, "4"), None);
    assert_eq!(class_index(&animals, "-1"), None);
    assert_eq!(class_index(&animals, ""), None);
    assert_eq!(class_index(&animals, "cow"), None);
}
