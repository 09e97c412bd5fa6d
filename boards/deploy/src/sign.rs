//! Signatures over manifests, with minisign's keys and formats.

use super::DeployError;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mcir_files::Pending;
use minisign::{KeyPair, PublicKey, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};
use std::io::{Cursor, Write};
use std::path::Path;

/// Where a secret key says how it is encrypted, and where its check sum lies: minisign's format.
const KDF: std::ops::Range<usize> = 2..4;
const CHECKSUM: std::ops::Range<usize> = 126..158;
/// Longest key or signature file that is read.
const MAX_BYTES: u64 = 1 << 14;

/// Writes a new pair of keys, `NAME.key` (readable by its owner only) and `NAME.pub`.
///
/// # Errors
/// [`DeployError::Key`], or when a file of the name is there or cannot be written.
pub fn generate(secret: &Path, public: &Path, password: Option<String>) -> mcir_upscale::error::Result<()> {
    let failed = |reason: String| DeployError::Key { key: secret.display().to_string(), reason };
    if let Some(there) = [secret, public].into_iter().find(|p| p.exists()) {
        let reason = "there is a key of this name, which will not be replaced".into();
        return Err(DeployError::Key { key: there.display().to_string(), reason }.into());
    }
    let encrypted = password.is_some();
    let pair = match password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password)),
        None => KeyPair::generate_unencrypted_keypair(),
    };
    let KeyPair { pk, sk } = pair.map_err(|e| failed(e.to_string()))?;
    let comment = if encrypted { "mcir secret key" } else { "mcir secret key, not encrypted" };
    let sk = sk.to_box(Some(comment)).map_err(|e| failed(e.to_string()))?.into_string();
    let pk = pk.to_box().map_err(|e| failed(e.to_string()))?.into_string();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(secret).map_err(DeployError::io("create", secret))?;
    file.write_all(sk.as_bytes()).map_err(DeployError::io("write", secret))?;
    let mut file = Pending::create(public)?;
    file.write_all(pk.as_bytes()).map_err(DeployError::io("write", public))?;
    Ok(file.finish()?)
}

/// A password from the command line or the environment. An empty one protects nothing, and is what a script gives that
/// has failed to read one.
///
/// # Errors
/// A message for the user.
pub fn password(text: &str) -> Result<String, String> {
    match text.is_empty() {
        true => Err("the password is empty; unset MCIR_KEY_PASSWORD for a key without one".into()),
        false => Ok(text.into()),
    }
}

/// A secret key from a file. An encrypted one needs `password`.
///
/// # Errors
/// [`DeployError::Key`], [`DeployError::Io`].
pub fn secret_key(path: &Path, password: Option<String>) -> Result<SecretKey, DeployError> {
    let failed = |reason: String| DeployError::Key { key: path.display().to_string(), reason };
    let text = read(path)?;
    let unpack = || SecretKeyBox::from_string(&text);
    let error = match unpack().and_then(SecretKey::from_unencrypted_box) {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    if PublicKeyBox::from_string(&text).and_then(PublicKeyBox::into_public_key).is_ok() {
        return Err(failed("it is a public key, and only the secret one of the pair signs: NAME.key".into()));
    }
    let bytes =
        text.lines().nth(1).and_then(|line| BASE64_STANDARD.decode(line.trim()).ok()).unwrap_or_default();
    match (bytes.get(KDF), &password) {
        // `minisign -W` leaves the check sum of an unencrypted key empty.
        (Some([0, 0]), _) if bytes.get(CHECKSUM).is_some_and(|sum| sum.iter().all(|&b| b == 0)) => {
            SecretKey::from_bytes(&bytes).map_err(|e| failed(e.to_string()))
        }
        (Some([0, 0]) | None, _) => Err(failed(error.to_string())),
        // The library would ask on the terminal, in the middle of our output.
        (Some(_), None) => Err(failed("it is encrypted: give its password in MCIR_KEY_PASSWORD".into())),
        (Some(_), Some(_)) => {
            unpack().and_then(|key| key.into_secret_key(password)).map_err(|e| failed(e.to_string()))
        }
    }
}

/// A public key from a file, or as the line of text that it is.
///
/// # Errors
/// [`DeployError::Key`], [`DeployError::Io`].
pub fn public_key(key: &str) -> Result<PublicKey, DeployError> {
    let failed = |reason: String| DeployError::Key { key: key.into(), reason };
    let path = Path::new(key);
    if path.exists() {
        let text = read(path)?;
        let parsed = PublicKeyBox::from_string(&text).and_then(PublicKeyBox::into_public_key);
        // The same line that the command line takes, without the comment above it.
        let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|l| !l.is_empty());
        let alone = lines.find(|l| !l.starts_with("untrusted comment:")).filter(|_| lines.next().is_none());
        let parsed = parsed.or_else(|e| alone.and_then(|line| PublicKey::from_base64(line).ok()).ok_or(e));
        return parsed.map_err(|e| match is_secret(&text) {
            true => failed("it is a secret key; what checks is the public one of the pair: NAME.pub".into()),
            false => failed(e.to_string()),
        });
    }
    PublicKey::from_base64(key).map_err(|e| failed(format!("it is no file, and as a key: {e}")))
}

/// Whether a text has the length of a secret key below its comment.
fn is_secret(text: &str) -> bool {
    let line = text.lines().nth(1).unwrap_or_default().trim();
    BASE64_STANDARD.decode(line).is_ok_and(|bytes| bytes.len() == CHECKSUM.end)
}

/// Signs bytes.
///
/// # Errors
/// [`DeployError::Key`] when the key cannot sign.
pub fn sign(bytes: &[u8], key: &SecretKey, comment: &str) -> Result<String, DeployError> {
    let signed =
        minisign::sign(None, key, Cursor::new(bytes), Some(comment), Some("signature of a manifest of mcir"));
    let failed = |e: minisign::PError| DeployError::Key { key: "for --sign".into(), reason: e.to_string() };
    Ok(signed.map_err(failed)?.into_string())
}

/// Checks a signature; says why it is not good.
///
/// # Errors
/// What the check says.
pub fn verify(bytes: &[u8], signature: &str, key: &PublicKey) -> Result<(), String> {
    let signature = SignatureBox::from_string(signature).map_err(|e| e.to_string())?;
    minisign::verify(key, &signature, Cursor::new(bytes), true, false, false).map_err(|e| e.to_string())
}

fn read(path: &Path) -> Result<String, DeployError> {
    let size = std::fs::metadata(path).map_err(DeployError::io("read", path))?.len();
    if size > MAX_BYTES {
        let reason = format!("it has {size} bytes; the limit is {MAX_BYTES}");
        return Err(DeployError::Key { key: path.display().to_string(), reason });
    }
    std::fs::read_to_string(path).map_err(DeployError::io("read", path))
}
