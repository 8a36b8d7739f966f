use super::Report;
/// x
pub fn page(_: &[Report]) -> String {
    String::new()
}
