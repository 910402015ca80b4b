//! Chooses the vector instructions at run time, or forces a choice.

use pulp::{Arch, Scalar128b, Simd, WithSimd};
use std::any::TypeId;
use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};

/// The instruction sets that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// The instructions that every processor of the target has: four lanes without fused multiply-add.
    Portable,
    /// The target's first vector extension: AVX2 with FMA on x86-64, NEON on aarch64.
    Vector,
    /// The widest: AVX-512 on x86-64.
    Widest,
}

thread_local! {
    static FORCED: Cell<Option<InstructionSet>> = const { Cell::new(None) };
}

/// Runs `f` on this thread with at most the given instruction set, even if the processor has a better one.
///
/// It does not apply to threads that `f` starts; tests therefore use a pool of one thread.
pub fn with_instruction_set<R>(set: InstructionSet, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<InstructionSet>);
    impl Drop for Restore {
        fn drop(&mut self) {
            FORCED.set(self.0);
        }
    }
    let _restore = Restore(FORCED.replace(Some(set)));
    f()
}

/// Lets no thread of this process use a better instruction set than the given one, from now on.
pub fn limit_instruction_set(set: InstructionSet) {
    LIMIT.store(set as u8, Ordering::Relaxed);
}

/// The instruction set that kernels use on this thread.
pub fn instruction_set() -> InstructionSet {
    match arch() {
        Arch::Scalar => InstructionSet::Portable,
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => InstructionSet::Widest,
        #[allow(unreachable_patterns)]
        _ => InstructionSet::Vector,
    }
}

/// The number of the best [`InstructionSet`] that this process may use.
static LIMIT: AtomicU8 = AtomicU8::new(InstructionSet::Widest as u8);

fn arch() -> Arch {
    let most = FORCED.get().map_or(u8::MAX, |set| set as u8).min(LIMIT.load(Ordering::Relaxed));
    match Arch::new() {
        _ if most == InstructionSet::Portable as u8 => Arch::Scalar,
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) if most == InstructionSet::Vector as u8 => {
            pulp::x86::V3::try_new().map_or(Arch::Scalar, Arch::V3)
        }
        arch => arch,
    }
}

/// Runs a kernel with the best instruction set allowed.
#[inline]
pub(crate) fn dispatch<K: WithSimd>(kernel: K) -> K::Output {
    match arch() {
        Arch::Scalar => Scalar128b.vectorize(kernel),
        arch => arch.dispatch(kernel),
    }
}

/// Whether a · b + c of this instruction set would call a function for each lane.
#[inline(always)]
fn calls_functions<S: Simd>() -> bool {
    #[cfg(target_arch = "wasm32")]
    if TypeId::of::<S>() == TypeId::of::<pulp::wasm::Simd128>() {
        return true;
    }
    TypeId::of::<S>() == TypeId::of::<Scalar128b>()
}

/// a · b + c, fused if the processor has the instruction.
#[inline(always)]
pub(crate) fn mul_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if calls_functions::<S>() { simd.add_f32s(simd.mul_f32s(a, b), c) } else { simd.mul_add_f32s(a, b, c) }
}

/// The first `lanes` values at `from`, zeros after them.
///
/// # Safety
/// `lanes` values can be read at `from`; `lanes` is at most the register's.
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) unsafe fn load<S: Simd>(simd: S, from: *const f32, lanes: usize) -> S::f32s {
    if lanes == S::F32_LANES {
        // SAFETY: a whole register can be read, and the read needs no alignment.
        unsafe { from.cast::<S::f32s>().read_unaligned() }
    } else {
        // SAFETY: `lanes` values can be read, as this function asks.
        simd.partial_load_f32s(unsafe { std::slice::from_raw_parts(from, lanes) })
    }
}

/// Stores the first `lanes` values at `to`.
///
/// # Safety
/// `lanes` values can be written at `to`, and nothing else refers to them; `lanes` is at most the
/// register's.
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) unsafe fn store<S: Simd>(simd: S, to: *mut f32, lanes: usize, value: S::f32s) {
    if lanes == S::F32_LANES {
        // SAFETY: a whole register can be written, and the write needs no alignment.
        unsafe { to.cast::<S::f32s>().write_unaligned(value) }
    } else {
        // SAFETY: `lanes` values can be written and are not aliased, as this function asks.
        simd.partial_store_f32s(unsafe { std::slice::from_raw_parts_mut(to, lanes) }, value);
    }
}

/// Brings the line of an address into the first-level cache.
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) fn prefetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing, and any address is allowed.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Brings the line of an address into the second-level cache.
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) fn prefetch_later(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing, and any address is allowed.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// (first, number) of each register's share of `count` values.
#[inline(always)]
pub(crate) fn registers<S: Simd>(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).step_by(S::F32_LANES).map(move |first| (first, S::F32_LANES.min(count - first)))
}

/// Runs code for each register's share of channels, (first, number). Where all lanes of a register are used,
/// the compiler knows it. (A macro: closures are not inlined into functions with other instruction sets.)
macro_rules! for_each_register {
    ($channels:expr, |$c:ident, $lanes:ident| $call:expr) => {
        for ($c, count) in $crate::simd::registers::<S>($channels) {
            if count == S::F32_LANES {
                let $lanes = S::F32_LANES;
                $call;
            } else {
                let $lanes = count;
                $call;
            }
        }
    };
}
pub(crate) use for_each_register;

/// Runs code for the channels of a pixel, a few registers at a time, whose number N is a constant: (first, values of the
/// last register). So a pass over pixels reads whole runs of memory, not one line of each pixel.
macro_rules! for_each_registers {
    ($channels:expr, |$c:ident, $n:ident, $lanes:ident| $call:expr) => {{
        let (channels, mut $c) = ($channels, 0);
        while $c < channels {
            let $lanes = S::F32_LANES;
            match (channels - $c) / $lanes {
                4.. => {
                    const $n: usize = 4;
                    $call;
                    $c += 4 * $lanes;
                }
                2.. => {
                    const $n: usize = 2;
                    $call;
                    $c += 2 * $lanes;
                }
                whole => {
                    const $n: usize = 1;
                    if whole == 1 {
                        $call;
                    } else {
                        let $lanes = channels - $c;
                        $call;
                    }
                    $c += $lanes;
                }
            }
        }
    }};
}
pub(crate) use for_each_registers;

/// N registers, of which the last has `lanes` values.
///
/// # Safety
/// They can be read; `lanes` is the register's, or N is 1.
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) unsafe fn load_row<S: Simd, const N: usize>(
    simd: S,
    from: *const f32,
    lanes: usize,
) -> [S::f32s; N] {
    let mut row = [simd.splat_f32s(0.0); N];
    for (j, value) in row.iter_mut().enumerate() {
        let lanes = if j + 1 == N { lanes } else { S::F32_LANES };
        // SAFETY: as asked.
        *value = unsafe { load(simd, from.add(j * S::F32_LANES), lanes) };
    }
    row
}

/// Stores N registers, of which the last has `lanes` values.
///
/// # Safety
/// They can be written, and nothing else refers to them.
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) unsafe fn store_row<S: Simd, const N: usize>(
    simd: S,
    to: *mut f32,
    lanes: usize,
    row: [S::f32s; N],
) {
    for (j, value) in row.into_iter().enumerate() {
        let lanes = if j + 1 == N { lanes } else { S::F32_LANES };
        // SAFETY: as asked.
        unsafe { store(simd, to.add(j * S::F32_LANES), lanes, value) };
    }
}
