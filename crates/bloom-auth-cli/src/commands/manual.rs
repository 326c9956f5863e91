//! `bloom-auth completions` and `bloom-auth man`: from the definition of the
//! arguments.

use std::{fs, io::Write as _};

use clap::CommandFactory as _;
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::{
    args::{Cli, CompletionsArgs, EXIT_CODES, ManArgs},
    exit::{Exit, Failure},
    output,
};

pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bloom-auth", &mut script);
    output::print(&script)
}

pub(crate) fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    let Some(directory) = &args.dir else {
        return output::print(&page(command)?);
    };
    let mut pages = vec![("bloom-auth".to_owned(), command.clone())];
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        let name = format!("bloom-auth-{}", sub.get_name());
        pages.push((name.clone(), sub.clone().name(name)));
    }
    let unwritable = |error| {
        let directory = directory.display();
        Failure::new(
            Exit::Files,
            format!("{directory} cannot be written to: {error}"),
        )
    };
    fs::create_dir_all(directory).map_err(unwritable)?;
    for (name, command) in pages {
        let path = directory.join(format!("{name}.1"));
        fs::write(path, page(command)?).map_err(unwritable)?;
    }
    Ok(())
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    // The examples are laid out by hand.
    let examples = command.get_after_help().map(ToString::to_string);
    let command = command.after_help("").after_long_help("");
    let man = Man::new(command);
    let mut write = || -> std::io::Result<()> {
        man.render(&mut page)?;
        for (title, text) in [
            ("EXAMPLES AND NOTES", examples.as_deref()),
            ("EXIT STATUS", Some(EXIT_CODES)),
        ] {
            let Some(text) = text else { continue };
            let mut roff = Roff::new();
            roff.control("SH", [title]);
            roff.control("nf", []);
            roff.text([roman(text)]);
            roff.control("fi", []);
            page.write_all(roff.to_roff().as_bytes())?;
        }
        Ok(())
    };
    write().map_err(|error| Failure::new(Exit::Files, error.to_string()))?;
    Ok(page)
}
