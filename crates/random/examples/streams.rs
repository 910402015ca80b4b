//! Opens a few streams: the same (seed, purpose, index) always gives the same values.
use duet_random::Draws;

fn main() {
    for index in 0..3 {
        let mut noise = [0f32; 4];
        Draws::new(0, "noise", index).fill_normal(&mut noise);
        println!("noise of image {index}: {noise:.4?}");
    }
    println!("order of epoch 0:  {:?}", Draws::new(0, "order", 0).permutation(10));
}
