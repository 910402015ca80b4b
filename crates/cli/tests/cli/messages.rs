//! The messages in docs/design/reliability.md are those that the program prints.
use crate::support::{duet, files, train};
use std::path::Path;

#[test]
fn the_documented_messages_are_printed_word_for_word() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "run");
    for (path, bytes) in files(&dir.path().join("run")) {
        let to = dir.path().join("damaged").join(&path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let cut = path.ends_with("training_state.safetensors");
        std::fs::write(to, if cut { &bytes[..100] } else { &bytes[..] }).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/design/reliability.md");
    let text = std::fs::read_to_string(path).unwrap();
    let block = text.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let mut cases = 0;
    for case in block.split("$ cargo xtask ").skip(1) {
        let [command, message, code] = case.lines().collect::<Vec<_>>()[..] else { panic!("{case}") };
        let arguments: Vec<&str> = command.split(' ').collect();
        let output = duet(dir.path(), &arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said = stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or("no error").to_string();
        // The program names itself as it was called.
        assert_eq!(said, message.replace("cargo xtask", "duet"), "{command}");
        assert_eq!(format!("exit code {}", output.status.code().unwrap()), code, "{command}");
        cases += 1;
    }
    assert!(cases > 10, "{cases}");
}
