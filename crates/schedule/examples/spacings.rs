//! Prints which timesteps each spacing visits, and the noise σ there.
//!
//! `cargo run --release -p duet-schedule --example spacings`

use duet_schedule::{BetaSchedule, NoiseSchedule, ScheduleError, Spacing};

fn main() -> Result<(), ScheduleError> {
    let steps = 8;
    let schedule = NoiseSchedule::new(&BetaSchedule::Cosine, 1000)?.with_zero_terminal_snr();
    println!("{steps} of 1000 timesteps of the cosine schedule with zero terminal SNR, sigma below each");
    for name in ["leading", "trailing", "linspace", "karras", "sigmoid", "999,800,600,400,300,200,100,0"] {
        let spacing: Spacing = name.parse()?;
        let timesteps = spacing.timesteps(steps, &schedule)?;
        let row = |cell: &dyn Fn(usize) -> String| timesteps.iter().map(|&t| cell(t)).collect::<String>();
        let label = if matches!(spacing, Spacing::List(_)) { "list".to_owned() } else { spacing.to_string() };
        println!("{label:>10} {}", row(&|t| format!("{t:>8}")));
        println!("{:>10} {}", "", row(&|t| format!("{:>8.3}", schedule.sigma(t))));
    }
    Ok(())
}
