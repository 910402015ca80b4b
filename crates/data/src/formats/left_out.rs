//! Files and folders beside the images that are not images.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::decode;
use crate::error::count;
use crate::listing::Listing;
use crate::tree::Tree;

/// How many levels of folders are searched, and how many folders in all.
const DEPTH: usize = 4;
const MOST: usize = 1000;

/// The number of endings that a sentence names.
const NAMED: usize = 4;

/// Files that usually lie beside images.
const USUAL: [&str; 3] = ["desktop.ini", "ehthumbs.db", "thumbs.db"];

/// The first of these folders and their subfolders that holds images. Links are not followed.
pub(crate) fn folder_with_images(tree: &dyn Tree, folders: &[PathBuf]) -> Option<PathBuf> {
    first(tree, folders, DEPTH, &mut MOST.clone())
}

fn first(tree: &dyn Tree, folders: &[PathBuf], depth: usize, left: &mut usize) -> Option<PathBuf> {
    for folder in folders.iter().filter(|folder| !tree.is_link(folder)) {
        *left = left.checked_sub(1)?;
        // A folder that cannot be listed is skipped: no images are missed in it.
        let Ok(listing) = Listing::of(tree, folder) else { continue };
        if listing.has_images() {
            return Some(folder.clone());
        }
        let deeper = if depth > 1 { first(tree, &listing.folders, depth - 1, left) } else { None };
        if deeper.is_some() {
            return deeper;
        }
    }
    None
}

/// The number of ignored files for each ending.
#[derive(Debug, Default)]
pub(crate) struct LeftOut(BTreeMap<String, usize>);

impl LeftOut {
    /// Counts a file of a class folder, unless it is an image or a usual file.
    pub(crate) fn add(&mut self, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if !decode::is_image_name(path) && !USUAL.contains(&name.as_str()) {
            let ending = path.extension().map(|ending| format!(".{}", ending.to_string_lossy()));
            *self.0.entry(ending.unwrap_or("no ending".into())).or_default() += 1;
        }
    }

    /// A sentence about what was left out, if anything was.
    pub(crate) fn sentence(&self) -> Option<String> {
        let total: usize = self.0.values().sum();
        let mut endings: Vec<(&String, &usize)> = self.0.iter().collect();
        endings.sort_by_key(|&(_, &files)| std::cmp::Reverse(files));
        let named = endings.iter().take(NAMED).map(|(ending, files)| format!("{files} with {ending}"));
        let named = named.collect::<Vec<_>>().join(", ");
        let more = if endings.len() > NAMED { " and others" } else { "" };
        (total > 0).then(|| {
            let files = count(total, "file");
            format!(
                "{files} in the class folders are left out, as they are not named as images: {named}{more}"
            )
        })
    }
}
