//! A row per figure, for spreadsheets and scripts. An empty cell is a value that could not be had.

use super::{ExportError, Sheet};

/// Writes the entries of a sheet.
///
/// # Errors
/// The writer's.
pub fn write(sheet: &Sheet) -> Result<String, ExportError> {
    let mut table = csv::Writer::from_writer(Vec::new());
    sheet.entries.iter().try_for_each(|entry| table.serialize(entry))?;
    let bytes = table.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    // What was serialised was text.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
