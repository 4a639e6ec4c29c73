//! A file is replaced by a complete one or left as it was.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use tinytorch::Tensor;
use tinytorch::files::{FileError, FormatError, TensorFile, write_tensors};

fn write(path: &Path, len: usize) -> Result<(), FileError> {
    let tensors = [("w", Tensor::arange(len).unwrap())];
    write_tensors(path, &tensors, &BTreeMap::new()).map_err(|error| error.downcast().unwrap())
}

fn entries(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_complete_file_replaces_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    write(&path, 3).unwrap();
    let open = TensorFile::open(&path).unwrap();
    write(&path, 5).unwrap();
    assert_eq!(open.tensor("w").unwrap().len(), 3, "an open file goes on showing the old tensors");
    assert_eq!(TensorFile::open(&path).unwrap().tensor("w").unwrap().len(), 5);
    assert_eq!(entries(folder.path()), ["m.safetensors"]);
}

#[test]
fn the_widest_elements_come_first_so_that_all_are_aligned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let byte = Tensor::full(1u8, [3]).unwrap();
    let tensors = [
        ("a", byte.clone()),
        ("z", Tensor::ones([1]).unwrap()),
        ("b", byte),
        ("y", Tensor::ones([1]).unwrap()),
        ("c", Tensor::full(1i64, [1]).unwrap()),
    ];
    write_tensors(&path, &tensors, &BTreeMap::new()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let order: Vec<&str> = file.tensors().map(|(name, _)| name).collect();
    assert_eq!(order, ["c", "z", "y", "a", "b"]);
}

#[test]
fn names_that_a_file_cannot_have_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    for (names, expected) in [
        (["w", "w"], FormatError::DuplicateName { tensor: "w".into() }),
        (["w", "__metadata__"], FormatError::ReservedName { tensor: "__metadata__".into() }),
    ] {
        let tensors = names.map(|name| (name, Tensor::scalar(1.0)));
        match write_tensors(&path, &tensors, &BTreeMap::new()).unwrap_err().downcast().unwrap() {
            FileError::Format { problem, .. } => assert_eq!(problem, expected),
            other => panic!("{other:?}"),
        }
    }
    assert!(entries(folder.path()).is_empty());
}

#[test]
fn what_cannot_be_replaced_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    write(&path, 3).unwrap();
    let old = std::fs::read(&path).unwrap();

    let mut read_only = std::fs::metadata(&path).unwrap().permissions();
    read_only.set_readonly(true);
    std::fs::set_permissions(&path, read_only).unwrap();
    let error = write(&path, 5).unwrap_err();
    assert!(
        matches!(&error, FileError::Write { source, .. }
        if source.kind() == std::io::ErrorKind::PermissionDenied),
        "{error}"
    );
    assert!(error.to_string().contains("m.safetensors"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), old);

    assert!(matches!(write(folder.path(), 5), Err(FileError::Write { .. })));
    let below_a_file = path.join("m.safetensors");
    assert!(matches!(write(&below_a_file, 5), Err(FileError::Write { .. })));
    let nowhere = folder.path().join("none").join("m.safetensors");
    assert!(matches!(write(&nowhere, 5), Err(FileError::Write { .. })));
    assert_eq!(entries(folder.path()), ["m.safetensors"]);
}

#[cfg(unix)]
#[test]
fn a_socket_or_device_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let error = write(&path, 5).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
    assert!(!std::fs::metadata(&path).unwrap().is_file());
}

#[cfg(unix)]
#[test]
fn links_and_permissions_stay() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("m.safetensors"), folder.path().join("latest"));
    write(&path, 3).unwrap();
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode() & 0o600, 0o600);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o606)).unwrap();
    std::os::unix::fs::symlink("m.safetensors", &link).unwrap();
    write(&link, 5).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(TensorFile::open(&path).unwrap().tensor("w").unwrap().len(), 5);
    assert_eq!(mode(), 0o606);
}

/// The shell limits the size of files, so that writing fails midway as on a full disk, and runs this
/// test again as its own child.
#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_leaves_the_old_file() {
    const FOLDER: &str = "TINYTORCH_TEST_FULL_DISK";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let error = write(&Path::new(&folder).join("m.safetensors"), 100_000).unwrap_err();
        assert!(matches!(error, FileError::Write { .. }), "{error:?}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    write(&path, 3).unwrap();
    let old = std::fs::read(&path).unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" --exact io_save::a_disk_that_fills_up_leaves_the_old_file"])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    assert_eq!(std::fs::read(&path).unwrap(), old);
    assert_eq!(entries(folder.path()), ["m.safetensors"]);
}
