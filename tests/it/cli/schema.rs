use serde_json::Value;

use super::Folder;

#[test]
fn it_prints_the_schema_of_each_file() {
    #[track_caller]
    fn check(line: &str, expected: &Value) {
        // Broken settings are no reason to print none.
        let folder = Folder::new().file("triggerd.toml", "nonsense");
        let done = folder.triggerd(line).run();
        assert_eq!((done.err.as_str(), done.code), ("", 0));
        let printed: Value = serde_json::from_str(&done.out).expect("it is JSON");
        assert_eq!(printed, *expected);
    }
    check("schema", &triggerd::schedule::schema::schema());
    check("schema --settings", &triggerd::settings::schema::schema());
}
