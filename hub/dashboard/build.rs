//! Makes the folder of the built page, so that the program compiles where Node.js has not made it.

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=ui/dist");
    std::fs::create_dir_all("ui/dist")
}
