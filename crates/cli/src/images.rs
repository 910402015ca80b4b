//! The flags that say how images are read.

use duet_diffusion::data::{ImageSize, LabelKind};

/// How `train` and `data` read them.
#[derive(clap::Args)]
pub struct Images {
    /// Resize the images to N pixels a side, or to a height and width such as 24x40, from the largest middle
    /// part of that proportion [default: as they are]
    #[arg(long, value_name = "N|HxW")]
    pub image_size: Option<ImageSize>,
    /// 1 for grey, 3 for colour [default: as they are]
    #[arg(long, value_name = "1|3")]
    pub channels: Option<usize>,
    /// The label that is the class, where images have two, as CIFAR-100's do [default: fine]
    #[arg(long, value_name = "fine|coarse")]
    pub label: Option<LabelKind>,
    /// Most pixels of one image file, in millions [default: 64]
    #[arg(long, value_name = "N")]
    pub max_megapixels: Option<u64>,
    /// Most memory that all images may take, in gigabytes [default: 4]
    #[arg(long, value_name = "N")]
    pub max_gigabytes: Option<u64>,
}
