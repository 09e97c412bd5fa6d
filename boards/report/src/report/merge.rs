//! Reports of several machines as one.

use super::{Failure, Report, Section, Target};
use mcir_upscale::error::Error;

impl Report {
    /// Adds what a machine measured. Its own name for itself is replaced by how it was reached.
    ///
    /// Rows tell whether they have the bits of `reference`, the same measurement on this machine.
    pub fn add(&mut self, target: &str, of_target: Self, reference: &[Section]) {
        for mut machine in of_target.targets {
            machine.target = target.into();
            self.targets.push(machine);
        }
        for mut section in of_target.sections {
            let here = reference.iter().find(|s| s.upscale == section.upscale && s.images == section.images);
            if let Some(here) = here.filter(|_| section.sets.is_empty()) {
                // A program from before there were sets.
                section.sets.clone_from(&here.sets);
                section.relate();
            }
            for row in &mut section.rows {
                row.target = target.into();
                let same = here.and_then(|s| s.rows.iter().find(|r| r.label() == row.label()));
                row.same_bits = same.map(|same| same.crc32 == row.crc32);
            }
            match self.sections.iter_mut().find(|s| s.upscale == section.upscale) {
                // Means over different images are not to be compared.
                Some(known) if known.images != section.images => {
                    let machine = self.targets.last_mut().filter(|t| t.target == target);
                    if let Some(machine) = machine {
                        machine.invalid_because.push(format!(
                            "x{}: {} could be used, elsewhere {}",
                            section.upscale,
                            mcir_files::name::counted(section.images.len(), "image"),
                            known.images.len()
                        ));
                    }
                    known.rows.extend(section.rows);
                }
                Some(known) => known.rows.extend(section.rows),
                None => self.sections.push(section),
            }
        }
        self.sections.sort_by_key(|s| s.upscale);
        for skipped in of_target.skipped {
            if !self.skipped.contains(&skipped) {
                self.skipped.push(skipped);
            }
        }
    }

    /// Adds a machine where nothing could be measured.
    pub fn add_failed(&mut self, target: &str, error: &Error) {
        let failed = Failure { message: error.to_string(), help: error.help() };
        self.targets.push(Target { target: target.into(), failed: Some(failed), ..Target::default() });
    }

    /// Machines where nothing could be measured.
    pub fn failed(&self) -> usize {
        self.targets.iter().filter(|t| t.failed.is_some()).count()
    }
}
