//! `mcir-board keygen`: a pair of keys to sign bundles with.

use super::sign;
use mcir_upscale::args::OutputArgs;
use mcir_upscale::error::Result;
use std::path::PathBuf;

/// Make a pair of keys to sign bundles with: NAME.key, which is secret, and NAME.pub
///
/// The files are minisign's; `minisign -G` makes such keys too.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Path of the files without their extensions
    #[arg(short = 'o', long, value_name = "NAME")]
    output: PathBuf,

    /// Encrypt the secret key with this password
    #[arg(long, value_name = "PASSWORD", env = "MCIR_KEY_PASSWORD", hide_env_values = true, value_parser = sign::password)]
    key_password: Option<String>,

    #[command(flatten)]
    print: OutputArgs,
}

/// Does it.
///
/// # Errors
/// When a file cannot be written, or is there already.
pub fn run(cmd: &Cmd) -> Result<()> {
    let with = |extension: &str| {
        let mut path = cmd.output.clone().into_os_string();
        path.push(extension);
        PathBuf::from(path)
    };
    let (secret, public) = (with(".key"), with(".pub"));
    sign::generate(&secret, &public, cmd.key_password.clone())?;
    if cmd.print.json {
        let outcome = serde_json::json!({
            "schema": 1, "command": "keygen", "secret_key": secret, "public_key": public,
            "encrypted": cmd.key_password.is_some(),
        });
        return cmd.print.result(outcome);
    }
    cmd.print.result(format_args!(
        "{}  keep it secret: --sign {0}\n{}  give it to those who flash: --verify-key {1}",
        secret.display(),
        public.display()
    ))
}
