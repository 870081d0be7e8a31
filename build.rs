//! Nothing to generate; see Cargo.toml's build dependencies.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
}
