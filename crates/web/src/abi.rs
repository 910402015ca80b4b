//! The memory that page and module share. The page writes what it asks into memory that it takes here, and is called
//! back with what it is told.

// The page passes addresses, and nothing but this file knows them.
#![allow(unsafe_code)]

use crate::engine::{Engine, Reply};
use std::cell::RefCell;

#[link(wasm_import_module = "page")]
unsafe extern "C" {
    /// Tells the page something: what it is, and where it is until this returns.
    fn said(kind: u32, at: *const u8, bytes: usize);
}

/// Kinds of what is said.
const JSON: u32 = 0;
const FILE: u32 = 1;
const REFUSED: u32 = 2;
const PANICKED: u32 = 3;

thread_local! {
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

fn say(kind: u32, bytes: &[u8]) {
    // SAFETY: the page reads these bytes before it returns.
    unsafe { said(kind, bytes.as_ptr(), bytes.len()) }
}

/// Memory for so many bytes that the page writes, which the next call that names it takes back.
#[unsafe(no_mangle)]
pub extern "C" fn room(bytes: usize) -> *mut u8 {
    Box::leak(vec![0; bytes].into_boxed_slice()).as_mut_ptr()
}

/// Takes back what [`room`] gave.
///
/// # Safety
/// `at` and `bytes` are of one call of [`room`], and are taken back once.
unsafe fn taken(at: *mut u8, bytes: usize) -> Box<[u8]> {
    // SAFETY: a leaked box of this length, as this function asks.
    unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(at, bytes)) }
}

/// Opens a model: its files as JSON, its weights, and how commands call Duet.
///
/// # Safety
/// Each address with its length is of one call of [`room`], and is passed once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(
    files: *mut u8,
    files_bytes: usize,
    weights: *mut u8,
    weights_bytes: usize,
    program: *mut u8,
    program_bytes: usize,
) {
    std::panic::set_hook(Box::new(|panic| say(PANICKED, panic.to_string().as_bytes())));
    // SAFETY: as this function asks.
    let (files, weights, program) =
        unsafe { (taken(files, files_bytes), taken(weights, weights_bytes), taken(program, program_bytes)) };
    let opened = Engine::open(&files, &weights, &String::from_utf8_lossy(&program));
    match opened {
        Ok(engine) => ENGINE.set(Some(engine)),
        Err(error) => say(REFUSED, serde_json::json!({"error": error}).to_string().as_bytes()),
    }
}

/// Answers a request by its name and body.
///
/// # Safety
/// Each address with its length is of one call of [`room`], and is passed once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ask(request: *mut u8, request_bytes: usize, body: *mut u8, body_bytes: usize) {
    // SAFETY: as this function asks.
    let (request, body) = unsafe { (taken(request, request_bytes), taken(body, body_bytes)) };
    ENGINE.with_borrow(|engine| {
        let Some(engine) = engine else {
            return say(REFUSED, br#"{"error": "the model is not open"}"#);
        };
        engine.ask(&String::from_utf8_lossy(&request), &body, |reply| match reply {
            Reply::Json(bytes) => say(JSON, &bytes),
            Reply::File(bytes) => say(FILE, &bytes),
            Reply::Refused(bytes) => say(REFUSED, &bytes),
        });
    });
}
