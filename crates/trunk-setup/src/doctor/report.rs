//! What doctor prints.

#![expect(clippy::print_stdout, reason = "this is the program's output")]

use serde_json::json;

use super::finding::{Finding, Status};

/// Whether nothing failed.
pub(crate) fn is_healthy(findings: &[Finding]) -> bool {
    findings
        .iter()
        .all(|finding| finding.status != Status::Failed)
}

/// Prints one finding as it comes; with `json` all come at the end.
pub(super) fn print(finding: &Finding) {
    println!("{}", text(finding));
}

fn text(finding: &Finding) -> String {
    let status = match finding.status {
        Status::Ok => "ok",
        Status::Warn => "warn",
        Status::Failed => "FAILED",
        Status::Skipped => "skipped",
    };
    let mut text = format!(
        "{status:<8} {:<14}  {}",
        finding.check.name(),
        finding.cause
    );
    for evidence in &finding.evidence {
        text += &format!("\n{:25}seen: {evidence}", "");
    }
    if let Some(fix) = &finding.fix {
        text += &format!("\n{:25}fix:  {fix}", "");
    }
    text
}

/// Prints the sum, or everything as one JSON object.
pub(crate) fn conclude(findings: &[Finding], json: bool) {
    if json {
        return println!(
            "{}",
            json!({ "ok": is_healthy(findings), "checks": findings })
        );
    }
    let count = |status| findings.iter().filter(|f| f.status == status).count();
    println!(
        "\n{} ok, {} warned, {} failed, {} skipped",
        count(Status::Ok),
        count(Status::Warn),
        count(Status::Failed),
        count(Status::Skipped)
    );
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::doctor::finding::Check;

    #[test]
    fn a_failure_shows_cause_evidence_and_fix() {
        let finding = Finding::failed(Check::Trunk, "ST_1 differs", "run `trunk-setup`")
            .with_evidence("differs: password");
        expect![[r#"
            FAILED   trunk           ST_1 differs
                                     seen: differs: password
                                     fix:  run `trunk-setup`"#]]
        .assert_eq(&text(&finding));
        let findings = [finding];
        assert!(!is_healthy(&findings));
        let json = serde_json::to_string(&findings).unwrap();
        expect![[r#"[{"check":"trunk","status":"failed","cause":"ST_1 differs","evidence":["differs: password"],"fix":"run `trunk-setup`"}]"#]].assert_eq(&json);
    }
}
