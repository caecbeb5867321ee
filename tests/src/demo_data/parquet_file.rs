//! One parquet file, read a column at a time. Rows as the crate builds them allocate a map each; columns don't.

use anyhow::{Context, Result, bail, ensure};
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{ByteArrayType, DataType, DoubleType, Int64Type, Int96Type};
use parquet::file::reader::{FileReader, SerializedFileReader};
use std::fs::File;
use std::path::Path;

pub struct ParquetFile {
    reader: SerializedFileReader<File>,
}

impl ParquetFile {
    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let file = File::open(&path).with_context(|| format!("opening `{}`", path.display()))?;
        let reader = SerializedFileReader::new(file)
            .with_context(|| format!("`{}` is not a parquet file", path.display()))?;
        Ok(ParquetFile { reader })
    }

    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        self.without_nulls::<Int64Type>(name)
    }

    /// Amounts of money, in hundredths: the files hold them as floating point.
    pub fn hundredths(&self, name: &str) -> Result<Vec<i64>> {
        let amounts = self.without_nulls::<DoubleType>(name)?;
        Ok(amounts.into_iter().map(|amount| (amount * 100.0).round() as i64).collect())
    }

    /// Instants, in seconds since 1970-01-01 UTC.
    pub fn seconds(&self, name: &str) -> Result<Vec<i64>> {
        let instants = self.without_nulls::<Int96Type>(name)?;
        Ok(instants.into_iter().map(|instant| instant.to_seconds()).collect())
    }

    pub fn texts(&self, name: &str) -> Result<Vec<Option<String>>> {
        let text = |bytes: parquet::data_type::ByteArray| -> Result<String> {
            Ok(bytes.as_utf8().with_context(|| format!("column `{name}`"))?.to_owned())
        };
        self.column::<ByteArrayType>(name)?.into_iter().map(|value| value.map(text).transpose()).collect()
    }

    fn without_nulls<T: DataType>(&self, name: &str) -> Result<Vec<T::T>> {
        let values: Option<Vec<_>> = self.column::<T>(name)?.into_iter().collect();
        values.with_context(|| format!("column `{name}` has nulls"))
    }

    fn column<T: DataType>(&self, name: &str) -> Result<Vec<Option<T::T>>> {
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let position = schema.columns().iter().position(|column| column.name() == name);
        let Some(position) = position else { bail!("there is no column `{name}`") };
        let column = schema.column(position);
        // The crate panics when a reader is asked for another type than the file's.
        ensure!(
            column.physical_type() == T::get_physical_type(),
            "column `{name}` is {:?} and not {:?}",
            column.physical_type(),
            T::get_physical_type()
        );
        ensure!(column.max_rep_level() == 0, "column `{name}` is a list");

        let mut all = Vec::new();
        for group in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(group)?;
            let rows = usize::try_from(group.metadata().num_rows())?;
            let mut reader = get_typed_column_reader::<T>(group.get_column_reader(position)?);
            let (mut present, mut values) = (Vec::new(), Vec::new());
            let (read, _, _) = reader.read_records(rows, Some(&mut present), None, &mut values)?;
            ensure!(read == rows, "column `{name}` ends after {read} of {rows} rows");
            all.reserve(rows);
            let mut values = values.into_iter();
            if column.max_def_level() == 0 {
                all.extend(values.map(Some));
            } else {
                all.extend(present.into_iter().map(|level| if level == 0 { None } else { values.next() }));
            }
        }
        Ok(all)
    }
}
