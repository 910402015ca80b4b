//! MNIST's file format, IDX: a magic number, the dimensions, the bytes; often gzipped.
//!
//! This file reads MNIST and the data sets in its format: Fashion-MNIST and Kuzushiji-MNIST with MNIST's
//! own file names (<https://github.com/zalandoresearch/fashion-mnist>), and EMNIST's splits, whose images
//! are stored transposed (<https://www.nist.gov/itl/products-and-services/emnist-dataset>). It does not
//! trust headers: memory grows only with the bytes that are really in the file.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use crate::dataset::{Dataset, Shape, Splits, check_names};
use crate::error::{DataError, shown};
use crate::format::{Format, Found, Tried};
use crate::labelled::divided;
use crate::options::MAX_BYTES;
use crate::{classes, fit};

/// The largest number of labels in a labels file.
const MAX_LABELS: u64 = 100_000_000;

/// The largest number of bytes that deflate unpacks from one byte.
const MOST_PACKED: u64 = 1032;

/// Four files with MNIST's or EMNIST's names. Common downloaders put them into `raw/` or `gzip/`.
pub(super) const FORMAT: Format = Format {
    holds: "IDX files, gzipped or not: train-images-idx3-ubyte, train-labels-idx1-ubyte, \
            t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (MNIST, Fashion-MNIST; without the last two, every \
            tenth image of a class is held out) or \
            emnist-SPLIT-train-images-idx3-ubyte and so on (EMNIST), \
            with a classes.txt beside them for other class names",
    tried: Tried::ByName,
    subfolders: &["raw", "gzip"],
    may_have_two_labels: false,
    is_file_of_set: |name| parse_name(name).is_some(),
    find: |place| {
        let set = find(place.dir, &place.listing.files, place.chosen)?;
        Ok(set.map(|set| -> Found {
            Box::new(move |name, options| fit::splits(set.read(name, options.max_bytes)?, options))
        }))
    },
};

/// The four files of one data set.
#[derive(Debug)]
struct IdxSet {
    /// Such as `emnist-letters`; empty for MNIST's own file names.
    family: String,
    dir: PathBuf,
    train: SplitFiles,
    /// None where every tenth image of a class is held out.
    test: Option<SplitFiles>,
}

#[derive(Debug, Default)]
struct SplitFiles {
    images: PathBuf,
    labels: PathBuf,
}

/// The role of a file, by its name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Role {
    TrainImages,
    TrainLabels,
    TestImages,
    TestLabels,
}

const ROLES: [Role; 4] = [Role::TrainImages, Role::TrainLabels, Role::TestImages, Role::TestLabels];

/// Finds the IDX data set among the files of `dir`, if there is one.
///
/// `chosen` is one of its files, for a directory with several sets (EMNIST is published in this way).
///
/// # Errors
/// Several sets and no choice; a set with missing files.
fn find(dir: &Path, names: &[String], chosen: Option<&str>) -> Result<Option<IdxSet>, DataError> {
    let mut sets: BTreeMap<&str, BTreeMap<Role, &str>> = BTreeMap::new();
    // In sorted order an unpacked file comes before its .gz. It is preferred.
    for name in names {
        if let Some((family, role)) = parse_name(name) {
            sets.entry(family).or_default().entry(role).or_insert(name);
        }
    }
    if let Some((family, _)) = chosen.and_then(parse_name) {
        sets.retain(|&other, _| other == family);
    }
    if sets.len() > 1 {
        let families: Vec<&str> =
            sets.keys().map(|&f| if f.is_empty() { "MNIST's names" } else { f }).collect();
        let example = sets.values().flat_map(|files| files.values()).next_back();
        return Err(DataError::malformed(
            dir,
            format!("there are several data sets: {}", families.join(", ")),
            format!(
                "choose one by naming one of its files instead of the directory, such as {}",
                shown(&dir.join(example.copied().unwrap_or_default()))
            ),
        ));
    }
    let Some((family, files)) = sets.pop_first() else {
        return Ok(None);
    };
    let needed = match files.keys().eq(&ROLES[..2]) {
        true => &ROLES[..2],
        false => &ROLES[..],
    };
    let missing: Vec<String> = needed
        .iter()
        .filter(|role| !files.contains_key(role))
        .map(|&role| format!("{} (or the same with .gz)", usual_name(family, role)))
        .collect();
    if !missing.is_empty() {
        return Err(DataError::Missing { dir: dir.into(), set: "a set of IDX files".into(), names: missing });
    }
    let path = |role| dir.join(files[&role]);
    Ok(Some(IdxSet {
        family: family.into(),
        dir: dir.into(),
        train: SplitFiles { images: path(Role::TrainImages), labels: path(Role::TrainLabels) },
        test: (needed.len() == ROLES.len())
            .then(|| SplitFiles { images: path(Role::TestImages), labels: path(Role::TestLabels) }),
    }))
}

/// The family and role of a file name such as `emnist-letters-train-images-idx3-ubyte.gz` or
/// `t10k-labels.idx1-ubyte`.
fn parse_name(name: &str) -> Option<(&str, Role)> {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let (stem, images) = match name.strip_suffix("-idx3-ubyte").or_else(|| name.strip_suffix(".idx3-ubyte")) {
        Some(stem) => (stem.strip_suffix("-images")?, true),
        None => {
            let stem = name.strip_suffix("-idx1-ubyte").or_else(|| name.strip_suffix(".idx1-ubyte"))?;
            (stem.strip_suffix("-labels")?, false)
        }
    };
    let (family, part) = stem.rsplit_once('-').unwrap_or(("", stem));
    if !family.is_empty() && !family.starts_with("emnist-") {
        return None;
    }
    let role = match (part, images) {
        ("train", true) => Role::TrainImages,
        ("train", false) => Role::TrainLabels,
        ("t10k" | "test", true) => Role::TestImages,
        ("t10k" | "test", false) => Role::TestLabels,
        _ => return None,
    };
    Some((family, role))
}

fn usual_name(family: &str, role: Role) -> String {
    let test = if family.is_empty() { "t10k" } else { "test" };
    let file = match role {
        Role::TrainImages => "train-images-idx3-ubyte".to_string(),
        Role::TrainLabels => "train-labels-idx1-ubyte".to_string(),
        Role::TestImages => format!("{test}-images-idx3-ubyte"),
        Role::TestLabels => format!("{test}-labels-idx1-ubyte"),
    };
    if family.is_empty() { file } else { format!("{family}-{file}") }
}

impl IdxSet {
    /// Reads both splits. The class names come from `classes.txt`, from `folder_name` or from the file
    /// names.
    ///
    /// # Errors
    /// Anything that is wrong in the files; see [`DataError::Malformed`].
    fn read(&self, folder_name: &str, max_bytes: u64) -> Result<Splits, DataError> {
        let naming = self.naming(folder_name)?;
        let train = read_files(&self.train, &naming, max_bytes)?;
        let (train, test) = match &self.test {
            Some(files) => (train, read_files(files, &naming, max_bytes)?),
            None => divided(&train),
        };
        if let Some(files) = self.test.as_ref().filter(|_| train.shape() != test.shape()) {
            return Err(DataError::malformed(
                &files.images,
                format!(
                    "images of shape {}, but those of {} have shape {}",
                    test.shape(),
                    shown(&self.train.images),
                    train.shape()
                ),
                "use the test file that belongs to the training file",
            ));
        }
        let name = match self.family.as_str() {
            "" => folder_name,
            family => family,
        };
        Ok(Splits { name: name.into(), train, test, left_out: Vec::new() })
    }

    fn naming(&self, folder_name: &str) -> Result<Naming, DataError> {
        let list = self.dir.join("classes.txt");
        let emnist_split = self.family.strip_prefix("emnist-");
        let from_list = classes::read_file(&list)?;
        let folder = folder_name.to_lowercase();
        let names = match (from_list, emnist_split) {
            (Some(names), _) => names,
            (None, Some(split)) => classes::emnist(split).ok_or_else(|| {
                DataError::malformed(
                    &self.train.images,
                    format!("{split} is none of EMNIST's splits"),
                    format!("write its class names, one a line, to {}", shown(&list)),
                )
            })?,
            _ if folder.contains("fashion") => classes::owned(&classes::FASHION),
            _ if folder.contains("kmnist") || folder.contains("kuzushiji") => {
                classes::owned(&classes::KUZUSHIJI)
            }
            _ => classes::digits(),
        };
        Ok(Naming {
            names: names.into(),
            first_label: u8::from(emnist_split == Some("letters")),
            transposed: emnist_split.is_some(),
            fix: format!("if the file is right, write all class names, one a line, to {}", shown(&list)),
        })
    }
}

/// How to read the bytes of a pair of files.
struct Naming {
    /// At least one name.
    names: Arc<[String]>,
    /// The label of the first class: 1 in EMNIST's letters, otherwise 0.
    first_label: u8,
    /// Whether images are stored column by column.
    transposed: bool,
    /// The remedy for a label without a name.
    fix: String,
}

/// The images and labels of two IDX files in memory, gzipped or not, as
/// [`from_bytes::idx`](crate::from_bytes::idx) describes.
pub(crate) fn read_bytes(images: &[u8], labels: &[u8], names: Arc<[String]>) -> Result<Dataset, DataError> {
    check_names(&names).map_err(DataError::invalid)?;
    let fix = "if the labels are right, pass all class names".into();
    let naming = Naming { names, first_label: 0, transposed: false, fix };
    let (image_bytes, label_bytes) = (images.len() as u64, labels.len() as u64);
    let images = Stream::new(Path::new("images"), images, image_bytes).expect("memory can be read");
    let labels = Stream::new(Path::new("labels"), labels, label_bytes).expect("memory can be read");
    read_pair(images, labels, &naming, MAX_BYTES)
}

fn read_files(pair: &SplitFiles, naming: &Naming, max_bytes: u64) -> Result<Dataset, DataError> {
    read_pair(Stream::open(&pair.images)?, Stream::open(&pair.labels)?, naming, max_bytes)
}

fn read_pair(
    mut images: Stream,
    mut labels: Stream,
    naming: &Naming,
    max_bytes: u64,
) -> Result<Dataset, DataError> {
    let (label_count, labels_path) = (read_label_count(&mut labels)?, labels.path);
    let label_bytes = labels.payload(label_count, &format!("{label_count} labels"))?;
    let [count, rows, columns] = images.header(3, "images")?;
    let claim = format!("{count} images of {rows}x{columns}");
    if count != label_count {
        return Err(images.malformed(
            format!("the header claims {claim}, but {} has {label_count} labels", shown(labels_path)),
            "use two files that belong together",
        ));
    }
    let claimed_bytes = rows.saturating_mul(columns).saturating_mul(count);
    fit::check_bytes(images.path, &format!("the header claims {claim}"), claimed_bytes, max_bytes)?;
    if claimed_bytes == 0 {
        return Err(images.malformed(
            format!("the header claims {claim}: there is nothing in it"),
            "use a file with images",
        ));
    }
    let labels = check_labels(&label_bytes, labels_path, naming)?;
    let mut pixels = images.payload(claimed_bytes, &claim)?;
    let (mut height, mut width) = (rows as usize, columns as usize);
    if naming.transposed {
        transpose(&mut pixels, height, width);
        std::mem::swap(&mut height, &mut width);
    }
    let shape = Shape { channels: 1, height, width };
    Dataset::new(shape, pixels, labels, naming.names.clone())
}

fn read_label_count(labels: &mut Stream) -> Result<u64, DataError> {
    let [count] = labels.header(1, "labels")?;
    match count > MAX_LABELS {
        true => Err(labels.malformed(
            format!("the header claims {count} labels, more than {MAX_LABELS} are not read"),
            "check that this is the right file",
        )),
        false => Ok(count),
    }
}

/// Checks that each label has a class name, and returns labels that start at 0.
fn check_labels(labels: &[u8], path: &Path, naming: &Naming) -> Result<Vec<u32>, DataError> {
    let first = u32::from(naming.first_label);
    let last = first + naming.names.len() as u32 - 1;
    labels
        .iter()
        .enumerate()
        .map(|(i, &label)| {
            let label = u32::from(label);
            if (first..=last).contains(&label) {
                return Ok(label - first);
            }
            Err(DataError::malformed(
                path,
                format!(
                    "label {label} of item {i} is out of range: there are {} class names, for \
                     labels {first} to {last}",
                    naming.names.len()
                ),
                naming.fix.as_str(),
            ))
        })
        .collect()
}

/// Turns every (rows, columns) image into (columns, rows).
fn transpose(pixels: &mut [u8], rows: usize, columns: usize) {
    let mut turned = vec![0; rows * columns];
    for image in pixels.chunks_exact_mut(rows * columns) {
        for (y, row) in image.chunks_exact(columns).enumerate() {
            for (x, &v) in row.iter().enumerate() {
                turned[x * rows + y] = v;
            }
        }
        image.copy_from_slice(&turned);
    }
}

/// The unpacked bytes of an IDX file. The content, not the name, decides whether it is gzipped.
struct Stream<'a> {
    path: &'a Path,
    reader: Box<dyn Read + 'a>,
    gzipped: bool,
    /// The largest number of unpacked bytes that a file of this length can hold.
    most: u64,
}

impl<'a> Stream<'a> {
    fn open(path: &'a Path) -> Result<Self, DataError> {
        let stream = || {
            let file = duet_files::open(path)?;
            let length = file.metadata()?.len();
            Stream::new(path, BufReader::new(file), length)
        };
        stream().map_err(|e| DataError::read(path, e))
    }

    /// Opens `source` of `length` bytes. Messages call it `path`.
    fn new(path: &'a Path, mut source: impl BufRead + 'a, length: u64) -> io::Result<Self> {
        let gzipped = source.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn Read + 'a> = match gzipped {
            true => Box::new(MultiGzDecoder::new(source)),
            false => Box::new(source),
        };
        let most = if gzipped { length.saturating_mul(MOST_PACKED) } else { length };
        Ok(Stream { path, reader, gzipped, most })
    }

    /// Reads the magic number and `N` sizes. The magic number must have this number of `dimensions`.
    fn header<const N: usize>(&mut self, dimensions: u8, what: &str) -> Result<[u64; N], DataError> {
        let wanted = 4 + 4 * N as u64;
        let bytes = self.read_at_most(wanted)?;
        // Type 8 is unsigned byte.
        let magic = [0, 0, 8, dimensions];
        if !bytes.starts_with(&magic) {
            return Err(self.malformed(
                format!(
                    "starts with {:02x?}, not with {magic:02x?} as an IDX file of {what} does",
                    &bytes[..bytes.len().min(4)]
                ),
                "check that this is the right file, or fetch it again",
            ));
        }
        if (bytes.len() as u64) < wanted {
            return Err(self.malformed(
                format!("ends inside the header, after {} bytes", bytes.len()),
                "fetch the file again",
            ));
        }
        let mut sizes = [0; N];
        for (size, b) in sizes.iter_mut().zip(bytes[4..].chunks_exact(4)) {
            *size = u64::from(u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        }
        Ok(sizes)
    }

    /// Reads everything after the header. It must be `claimed` bytes.
    fn payload(&mut self, claimed: u64, claim: &str) -> Result<Vec<u8>, DataError> {
        // Read one byte more: it reveals a longer file, and makes gzip verify its checksum.
        let bytes = self.read_at_most(claimed.saturating_add(1))?;
        let real = bytes.len() as u64;
        if real < claimed {
            return Err(self.malformed(
                format!("the header claims {claim}, {claimed} bytes, but only {real} follow it"),
                "the file is cut short or its header is wrong, fetch it again",
            ));
        }
        if real > claimed {
            return Err(self.malformed(
                format!("the header claims {claim}, {claimed} bytes, but more follow it"),
                "the header is wrong or something was appended, fetch the file again",
            ));
        }
        Ok(bytes)
    }

    fn read_at_most(&mut self, limit: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        // Allocate once, because growing would hold the old and the new memory. It is never more than the
        // file can hold.
        let room = usize::try_from(limit.min(self.most)).unwrap_or(usize::MAX);
        bytes.try_reserve_exact(room).map_err(|e| DataError::read(self.path, io::Error::other(e)))?;
        self.reader
            .by_ref()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|e| self.read_error(e, bytes.len()))?;
        Ok(bytes)
    }

    fn read_error(&self, error: io::Error, after: usize) -> DataError {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        let cause = match error.kind() {
            UnexpectedEof if self.gzipped => "the gzip data is cut short".to_string(),
            InvalidData | InvalidInput if self.gzipped => {
                format!("the gzip data is corrupt ({error})")
            }
            _ => return DataError::read(self.path, error),
        };
        self.malformed(format!("{cause}, after {after} unpacked bytes of this part"), "fetch the file again")
    }

    fn malformed(&self, cause: impl Into<String>, fix: &str) -> DataError {
        DataError::malformed(self.path, cause, fix)
    }
}
