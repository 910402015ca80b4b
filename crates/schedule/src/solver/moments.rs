//! The weights that an exponential integrator gives the powers of s along a step.

/// J_n = ∫ h e^{-(1-s)h} s^n ds over [0, 1], for n below `count` and any h but 0.
pub(crate) fn moments(h: f64, count: usize) -> Vec<f64> {
    if h.abs() < 1.0 {
        return (0..count).map(|n| moment_of_small(h, n)).collect();
    }
    // J_0 = 1 - e^-h, J_n = 1 - n/h J_{n-1}
    let mut moments = vec![-(-h).exp_m1()];
    for n in 1..count {
        moments.push(1.0 - n as f64 / h * moments[n - 1]);
    }
    moments
}

/// J_n = Σ_k (-1)^k h^{k+1} n!/(n+k+1)!. For small h the recurrence would divide a difference of nearly
/// equal numbers by h.
fn moment_of_small(h: f64, n: usize) -> f64 {
    // Further terms are below f64's resolution at h = 1.
    const TERMS: usize = 20;
    let mut term = h / (n + 1) as f64;
    let mut sum = term;
    for k in 1..TERMS {
        term *= -h / (n + k + 1) as f64;
        sum += term;
    }
    sum
}
