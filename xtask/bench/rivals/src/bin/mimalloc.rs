//! Measures the hot path of everyone with mimalloc, since most of the others allocate; `cargo xtask
//! bench` starts it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), bench::Problem> {
    rivals::measure("mimalloc")
}
