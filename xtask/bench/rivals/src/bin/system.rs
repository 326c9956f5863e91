//! Measures the hot path of everyone with the system's allocator; `cargo xtask bench` starts it.

fn main() -> Result<(), bench::Problem> {
    rivals::measure("system")
}
