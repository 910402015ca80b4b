//! The machine's limit, for comparison with measurements.

use crate::simd::{dispatch, mul_add};
use pulp::{Simd, WithSimd};

/// Runs at least `count` multiply-adds in registers, on this thread, with the best instruction set. As many
/// run at once as in a product. It returns their sum, so that the compiler cannot remove them.
pub fn multiply_adds(count: u64) -> f32 {
    dispatch(Chains(count))
}

/// The number of independent chains: enough to hide the latency of the instruction.
const CHAINS: usize = 12;

struct Chains(u64);

impl WithSimd for Chains {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let mut sums = [simd.splat_f32s(1.0); CHAINS];
        let (factor, term) = (simd.splat_f32s(0.999), simd.splat_f32s(std::hint::black_box(0.001)));
        for _ in 0..self.0.div_ceil((CHAINS * S::F32_LANES) as u64) {
            for sum in &mut sums {
                *sum = mul_add(simd, *sum, factor, term);
            }
        }
        sums.into_iter().map(|sum| simd.reduce_sum_f32s(sum)).sum()
    }
}
