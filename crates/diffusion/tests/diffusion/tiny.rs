//! A tiny data set and a tiny configuration; the tests of the program have them too.

use duet_data::Picture;
use std::path::{Path, PathBuf};

/// Two classes of 8×8 images, named "left" and "right" for their bright half.
pub fn images(dir: &Path) -> PathBuf {
    let root = dir.join("data");
    for (class, name) in ["left", "right"].into_iter().enumerate() {
        std::fs::create_dir_all(root.join(name)).unwrap();
        for i in 0..40u8 {
            let pixel = |p: usize| if (p % 8 >= 4) == (class == 1) { 200 + i } else { 3 * i };
            let picture = Picture::new(1, 8, 8, (0..64).map(pixel).collect()).unwrap();
            picture.write_png(root.join(name).join(format!("{i:02}.png"))).unwrap();
        }
    }
    root
}

/// Of v, which 60 steps are enough for.
pub const CONFIG: &str = r#"
[diffusion]
schedule = "cosine"
prediction = "v"

[model]
block_out_channels = [8, 16]
attention_levels = [1]
attention_head_dim = 8
norm_num_groups = 4

[train]
steps = 60
batch = 8
ema_snapshots = 10

[save]
save_every = 25
sample_every = 0
first_sample = 0
held_out_every = 20
held_out_images = 4

[sample]
steps = 4
"#;
