//! Bundles for updaters of fleets. They bring our bundle to a device; the program inside it does what `flash` does,
//! with the device's own folder as target. So a fleet has the same self-test, the same switch and the same way back.

mod swu;
#[cfg(test)]
mod tests;

use super::DeployError;
use super::bundle::file;
use super::manifest::{Manifest, sha256};
use mcir_files::Pending;
use mcir_upscale::error::{Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Takes a bundle to the slots of the device that it runs on.
const INSTALL: &str = include_str!("install.sh");
/// The same as an update module of Mender.
const MENDER_MODULE: &str = include_str!("mender-module.sh");
/// Name of our bundle inside theirs.
const BUNDLE: &str = "mcir.bundle";

/// What `bundle` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Our own, for `mcir-board flash`
    Mcir,
    /// RAUC: a .raucb by `rauc bundle`, or the folder that it takes
    Rauc,
    /// Mender: a .mender by `mender-artifact`, or the folder with what it takes
    Mender,
    /// SWUpdate: a .swu
    Swupdate,
}

/// What the updaters want to know.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// RAUC, SWUpdate: certificate to sign with, as PEM
    #[arg(long, value_name = "PEM", requires = "cert_key")]
    cert: Option<PathBuf>,

    /// RAUC, SWUpdate: the certificate's key, as PEM
    #[arg(long, value_name = "PEM", requires = "cert")]
    cert_key: Option<PathBuf>,

    /// RAUC's `compatible`, Mender's device type [default: the board's name]
    #[arg(long, value_name = "NAME")]
    compatible: Option<String>,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The output as asked for, or the folder that the updater's own tool makes it from.
    pub path: PathBuf,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Writes a bundle of a fleet's updater; `parts` as [`file::write`] takes them.
///
/// # Errors
/// [`DeployError::Tool`] when the updater's own tool fails, or what keeps a file from being written.
pub fn write(
    format: Format,
    args: &Args,
    output: &Path,
    manifest: &Manifest,
    signature: Option<&str>,
    parts: &[&[u8]],
) -> Result<Written> {
    let compatible = args.compatible.clone().or_else(|| manifest.board.clone());
    let compatible = compatible.unwrap_or_else(|| format!("mcir-{}", manifest.architecture));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if compatible.is_empty() || !compatible.chars().all(plain) {
        return Err(DeployError::Usage {
            what: format!("`{compatible}` cannot stand in a manifest of another updater"),
            help: "give --compatible a name of letters, digits, dots, - and _",
        }
        .into());
    }
    let folder = Input::new(output)?;
    let payload = folder.path.join(BUNDLE);
    file::write(&payload, manifest, signature, parts)?;
    match format {
        Format::Mcir => folder.move_file(BUNDLE),
        Format::Rauc => rauc(args, &folder, manifest, &compatible),
        Format::Mender => mender(&folder, manifest, &compatible),
        Format::Swupdate => {
            swupdate(args, &folder, manifest)?;
            folder.move_file(SWU)
        }
    }
}

/// A folder beside the output, where its input is made.
struct Input {
    path: PathBuf,
    output: PathBuf,
}

impl Input {
    fn new(output: &Path) -> Result<Self, DeployError> {
        let mut name = std::ffi::OsString::from(".");
        name.push(output.file_name().unwrap_or_default());
        name.push(format!(".{}.tmp", std::process::id()));
        let path = output.with_file_name(name);
        std::fs::create_dir(&path).map_err(DeployError::io("create", &path))?;
        Ok(Self { path, output: output.into() })
    }

    fn write(&self, name: &str, bytes: &[u8], executable: bool) -> Result<(), DeployError> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path.join(name);
        std::fs::write(&path, bytes).map_err(DeployError::io("write", &path))?;
        let mode = std::fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 });
        std::fs::set_permissions(&path, mode).map_err(DeployError::io("write", &path))
    }

    /// Makes a file of the folder the output.
    fn move_file(&self, name: &str) -> Result<Written> {
        self.take(&self.path.join(name), Vec::new())
    }

    /// Makes a file the output.
    fn take(&self, file: &Path, notes: Vec<String>) -> Result<Written> {
        std::fs::rename(file, &self.output).map_err(DeployError::io("write", &self.output))?;
        Ok(Written { path: self.output.clone(), notes })
    }

    /// Makes the folder itself the output; returns its path.
    fn keep(&self) -> Result<PathBuf> {
        let folder = self.output.with_extension("d");
        if folder.exists() {
            let source = std::io::ErrorKind::AlreadyExists.into();
            return Err(Error::io("create", &folder)(source));
        }
        std::fs::rename(&self.path, &folder).map_err(DeployError::io("create", &folder))?;
        Ok(folder)
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        // Gone already when it was kept.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Runs a tool; `None` when it is not installed.
fn tool(command: &mut Command) -> Result<Option<()>, DeployError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| DeployError::Tool { tool: name.clone(), reason: e.to_string() })?,
    };
    if output.status.success() {
        return Ok(Some(()));
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(DeployError::Tool { tool: name, reason })
}

/// A bundle with a handler of its own: nothing is written to RAUC's slots.
fn rauc(args: &Args, folder: &Input, manifest: &Manifest, compatible: &str) -> Result<Written> {
    let text = format!(
        "[update]\ncompatible={compatible}\nversion={}\ndescription={} {} x{}\n\n[bundle]\nformat=plain\n\n\
         [handler]\nfilename=handler.sh\n",
        manifest.version, manifest.name, manifest.model.precision, manifest.model.upscale
    );
    folder.write("manifest.raucm", text.as_bytes(), false)?;
    // RAUC tells the handler where the bundle is mounted.
    let handler = INSTALL.replace("bundle=$1", &format!("bundle=$RAUC_BUNDLE_MOUNT_POINT/{BUNDLE}"));
    folder.write("handler.sh", handler.as_bytes(), true)?;
    let why = if let (Some(cert), Some(key)) = (&args.cert, &args.cert_key) {
        let made = folder.output.with_extension(format!("{}.raucb", std::process::id()));
        let mut command = Command::new("rauc");
        command.args(["bundle", "--cert"]).arg(cert).arg("--key").arg(key).arg(&folder.path).arg(&made);
        if tool(&mut command)?.is_some() {
            return folder.take(&made, Vec::new());
        }
        "rauc is not installed here"
    } else {
        "it signs every bundle, and no --cert and --cert-key were given"
    };
    let kept = folder.keep()?;
    let notes = vec![
        format!("{} is what rauc makes the bundle from: {why}", kept.display()),
        format!(
            "finish it with: rauc bundle --cert cert.pem --key key.pem {} {}",
            kept.display(),
            folder.output.display()
        ),
    ];
    Ok(Written { path: kept, notes })
}

fn mender(folder: &Input, manifest: &Manifest, compatible: &str) -> Result<Written> {
    let name = format!("mcir-{}-{}", manifest.name, manifest.version);
    let made = folder.output.with_extension(format!("{}.mender", std::process::id()));
    let words = |payload: &Path, output: &Path| {
        let text = |path: &Path| path.display().to_string();
        [
            "write",
            "module-image",
            "-T",
            "mcir",
            "-n",
            &name,
            "-t",
            compatible,
            "-f",
            &text(payload),
            "-o",
            &text(output),
        ]
        .map(str::to_owned)
    };
    let module = "the device needs the update module: mcir-board bundle --format mender writes it as";
    if tool(Command::new("mender-artifact").args(words(&folder.path.join(BUNDLE), &made)))?.is_some() {
        let path = folder.output.with_extension("module");
        let mut file = Pending::create(&path)?;
        file.write_all(MENDER_MODULE.as_bytes()).map_err(DeployError::io("write", &path))?;
        file.finish()?;
        let note = format!("{module} {}, for /usr/share/mender/modules/v3/mcir", path.display());
        return folder.take(&made, vec![note]);
    }
    folder.write("mcir", MENDER_MODULE.as_bytes(), true)?;
    let kept = folder.keep()?;
    let command = words(&kept.join(BUNDLE), &folder.output).join(" ");
    let notes = vec![
        format!(
            "{} has the bundle and, as mcir, the update module; mender-artifact is not installed here",
            kept.display()
        ),
        format!("finish it with: mender-artifact {command}"),
    ];
    Ok(Written { path: kept, notes })
}

/// Name of the archive while it is made.
const SWU: &str = "update.swu";

/// An archive with a description, our bundle as a file, and a script that installs it afterwards.
fn swupdate(args: &Args, folder: &Input, manifest: &Manifest) -> Result<()> {
    let path = folder.path.join(BUNDLE);
    let payload = std::fs::read(&path).map_err(DeployError::io("read", &path))?;
    // A folder that only root writes to, and that is memory: nothing is left of it after the script.
    let place = "/run/mcir.bundle";
    // Releases of SWUpdate differ in whether they call a post-install script with `postinst` or without any word.
    let script = INSTALL
        .replace("set -eu\n", "set -eu\n[ \"${1:-postinst}\" = postinst ] || exit 0\n")
        .replace("bundle=$1", &format!("bundle={place}"))
        .replace("rm -f \"$program\"", "rm -f \"$program\" \"$bundle\"");
    let description = format!(
        "software =\n{{\n    version = \"{}\";\n    description = \"mcir {}\";\n    \
         hardware-compatibility: [ \"#RE:.*\" ];\n    files: (\n        {{\n            \
         filename = \"{BUNDLE}\";\n            path = \"{place}\";\n            sha256 = \"{}\";\n        }}\n    );\n    \
         scripts: (\n        {{\n            filename = \"install.sh\";\n            type = \"postinstall\";\n            \
         sha256 = \"{}\";\n        }}\n    );\n}}\n",
        manifest.version,
        // A quote would end the text in their syntax.
        manifest.name.replace(['"', '\\'], "_"),
        sha256(&payload),
        sha256(script.as_bytes()),
    );
    let signature = match (&args.cert, &args.cert_key) {
        (Some(cert), Some(key)) => Some(cms(folder, &description, cert, key)?),
        _ => None,
    };
    let path = folder.path.join(SWU);
    let mut file = Pending::create(&path)?;
    // The description must come first, and its signature second.
    let mut files: Vec<(&str, &[u8])> = vec![("sw-description", description.as_bytes())];
    if let Some(signature) = &signature {
        files.push(("sw-description.sig", signature));
    }
    files.extend([(BUNDLE, payload.as_slice()), ("install.sh", script.as_bytes())]);
    swu::write(&mut file, &files).map_err(DeployError::io("write", &path))?;
    Ok(file.finish()?)
}

/// The signature of a description as SWUpdate checks it: CMS, which also Debian's is built for.
fn cms(folder: &Input, description: &str, cert: &Path, key: &Path) -> Result<Vec<u8>, DeployError> {
    folder.write("sw-description", description.as_bytes(), false)?;
    let path = folder.path.join("sw-description.sig");
    let mut command = Command::new("openssl");
    command.args(["cms", "-sign", "-outform", "DER", "-nosmimecap", "-binary", "-in"]);
    command.arg(folder.path.join("sw-description")).arg("-out").arg(&path);
    command.arg("-signer").arg(cert).arg("-inkey").arg(key);
    tool(&mut command)?.ok_or_else(|| DeployError::Tool {
        tool: "openssl".into(),
        reason: "it is not installed, and --cert needs it".into(),
    })?;
    std::fs::read(&path).map_err(DeployError::io("read", &path))
}
