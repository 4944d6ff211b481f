"""Where lines of log go, and how they look: `healthd.log.setup.configure`. All other modules log by `logging`.

    logging.getLogger(__name__).warning("the table is away", extra={"errno": 1})

Each `extra` becomes a key=value of the text, a key of the JSON, a field HEALTHD_... of the journal.
"""
