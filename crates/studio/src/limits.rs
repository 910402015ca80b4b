//! What a request may ask for. A request beyond a limit is refused with what the limit is.

use std::time::Duration;

/// Bytes of a request that may have pictures.
pub const BODY: usize = 24 << 20;
/// Bytes of any other, and of one that waits for no other.
pub const SMALL_BODY: usize = 256 << 10;
/// Bytes of all larger requests together; more of them wait.
pub const BODIES: usize = 4 * BODY;
/// Bytes of a picture's file.
pub const PICTURE: usize = 8 << 20;
/// Pixels of a picture.
pub const PIXELS: u64 = 16_000_000;
/// Bytes of one value of a drawing.
pub const VALUE: usize = 4096;
/// Images of a drawing.
pub const IMAGES: u64 = 256;
/// Images of a drawing times its steps.
pub const EVALUATIONS: u64 = 20_000;
/// Steps that are shown one by one.
pub const SHOWN_STEPS: usize = 250;
/// Pixels of a file that is drawn, with all of its frames.
pub const DRAWN_PIXELS: u64 = 256_000_000;
/// Steps in a curve, the last ones.
pub const ROWS: usize = 50_000;
/// Drawings that wait for the one that is drawn.
pub const QUEUE: usize = 16;
/// Clients that are connected at once.
pub const CONNECTIONS: usize = 128;
/// Models that stay open.
pub const OPEN_MODELS: usize = 4;
/// Bytes of a client's name.
pub const CLIENT: usize = 64;
/// Characters of a token, at least.
pub const TOKEN: usize = 16;
/// A connection is closed that does not say in this time what it asks.
pub const HEAD_TIME: Duration = Duration::from_secs(15);
/// A connection is closed that takes nothing of its answer in this time.
pub const WRITE_TIME: Duration = Duration::from_secs(30);
/// Steps of a drawing that wait until its client takes them; more are left out.
pub const WAITING_STEPS: usize = 64;
/// A request is refused whose body is not there in this time.
pub const BODY_TIME: Duration = Duration::from_secs(30);
