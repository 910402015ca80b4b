//! Animations decode again to their frames, delays and endless loop.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::common::{assert_says, directory};
use duet_data::{DataError, Picture, write_apng, write_gif};

/// Frames of 3 rows and 4 columns, none like another.
fn frames(channels: usize, count: usize) -> Vec<Picture> {
    let len = channels * 12;
    let pixels = |frame| (0..len).map(|i| (frame * 67 + i * 21) as u8).collect();
    (0..count).map(|frame| Picture::new(channels, 3, 4, pixels(frame)).unwrap()).collect()
}

/// Pixels and (numerator, denominator) of the delay of each frame, and the number of plays.
fn read_apng(path: &Path) -> (Vec<Vec<u8>>, Vec<(u16, u16)>, u32) {
    let file = BufReader::new(File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let control = reader.info().animation_control.unwrap();
    let (mut pixels, mut delays) = (Vec::new(), Vec::new());
    for _ in 0..control.num_frames {
        let mut frame = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut frame).unwrap();
        frame.truncate(info.buffer_size());
        pixels.push(frame);
        let control = reader.info().frame_control.unwrap();
        delays.push((control.delay_num, control.delay_den));
    }
    (pixels, delays, control.num_plays)
}

/// Pixels as RGB and the delay in hundredths of a second of each frame.
fn read_gif(path: &Path) -> (Vec<Vec<u8>>, Vec<u16>, gif::Repeat) {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(BufReader::new(File::open(path).unwrap())).unwrap();
    let (mut pixels, mut delays) = (Vec::new(), Vec::new());
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        pixels.push(frame.buffer.chunks_exact(4).flat_map(|p| p[..3].to_vec()).collect());
        delays.push(frame.delay);
    }
    (pixels, delays, decoder.repeat())
}

fn as_rgb(picture: &Picture) -> Vec<u8> {
    let spread = 3 / picture.channels;
    picture.pixels.iter().flat_map(|&v| vec![v; spread]).collect()
}

#[test]
fn an_apng_is_exact_and_holds_its_last_frame() {
    let dir = directory();
    let path = dir.path().join("x.png");
    for channels in [1, 3] {
        let frames = frames(channels, 3);
        write_apng(&frames, 40, &[], &path).unwrap();
        let (pixels, delays, plays) = read_apng(&path);
        assert_eq!(pixels, frames.iter().map(|f| f.pixels.clone()).collect::<Vec<_>>());
        assert_eq!(delays, [(40, 1000), (40, 1000), (1500, 1000)]);
        assert_eq!(plays, 0, "0 is for ever");
    }
    write_apng(&frames(1, 1), 2000, &[], &path).unwrap();
    assert_eq!(read_apng(&path).1, [(2000, 1000)]);
}

#[test]
fn an_apng_is_a_png_of_its_first_frame() {
    let dir = directory();
    let path = dir.path().join("x.png");
    let frames = frames(1, 2);
    write_apng(&frames, 40, &[], &path).unwrap();
    let still = image::open(&path).unwrap().into_luma8();
    assert_eq!(still.into_raw(), frames[0].pixels);
}

#[test]
fn a_gif_of_grey_or_few_colours_is_exact() {
    let dir = directory();
    let path = dir.path().join("x.gif");
    for channels in [1, 3] {
        let frames = frames(channels, 3);
        write_gif(&frames, 43, &path).unwrap();
        let (pixels, delays, repeat) = read_gif(&path);
        assert_eq!(pixels, frames.iter().map(as_rgb).collect::<Vec<_>>());
        assert_eq!(delays, [4, 4, 150]);
        assert_eq!(repeat, gif::Repeat::Infinite);
    }
    write_gif(&frames(1, 2), 1, &path).unwrap();
    assert_eq!(read_gif(&path).1, [2, 150], "faster than viewers go");
    write_gif(&frames(1, 2), u16::MAX, &path).unwrap();
    assert_eq!(read_gif(&path).1[0], 6553);
}

#[test]
fn every_grey_survives_a_gif() {
    let dir = directory();
    let path = dir.path().join("x.gif");
    let all = Picture::new(1, 16, 16, (0..=255).collect()).unwrap();
    write_gif(std::slice::from_ref(&all), 100, &path).unwrap();
    assert_eq!(read_gif(&path).0, [as_rgb(&all)]);
}

#[test]
fn a_gif_of_many_colours_is_close() {
    let dir = directory();
    let path = dir.path().join("x.gif");
    let pixels = (0..64 * 64).flat_map(|i| [(i % 64 * 4) as u8, (i / 64 * 4) as u8, 128]);
    let many = Picture::new(3, 64, 64, pixels.collect()).unwrap();
    write_gif(std::slice::from_ref(&many), 100, &path).unwrap();
    let read = &read_gif(&path).0[0];
    let worst = read.iter().zip(&many.pixels).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst.unwrap() <= 40, "{worst:?}");
}

#[test]
fn frames_that_make_no_animation_are_refused() {
    let dir = directory();
    let path = dir.path().join("x");
    let mixed = [frames(1, 1), frames(3, 1)].concat();
    type Write = fn(&[Picture], u16, &Path) -> Result<(), DataError>;
    let writers: [Write; 2] = [
        |frames, delay_ms, path| write_apng(frames, delay_ms, &[], path),
        |frames, delay_ms, path| write_gif(frames, delay_ms, path),
    ];
    for write in writers {
        assert_says(&write(&[], 40, &path).unwrap_err().to_string(), &["no picture"]);
        assert_says(&write(&mixed, 40, &path).unwrap_err().to_string(), &["picture 1"]);
        let nowhere = dir.path().join("nowhere/x");
        let error = write(&frames(1, 1), 40, &nowhere).unwrap_err();
        assert!(matches!(error, DataError::Write { .. }));
    }
    let long = Picture::new(1, 1, 65_536, vec![0; 65_536]).unwrap();
    assert_says(&write_gif(&[long], 40, &path).unwrap_err().to_string(), &["65535", "APNG"]);
    assert!(!path.exists());
}
