"""The report's sections. No figure stands in them: all are read from the evidence."""

from study.reporting.beyond import generalisation_section
from study.reporting.blocks import Section
from study.reporting.conclusion import conclusion_section
from study.reporting.evidence import Evidence
from study.reporting.fitting import fitting_section
from study.reporting.studies import architecture_section, limits_section
from study.reporting.the_digits import input_section


def report_sections(evidence: Evidence) -> list[Section]:
    """All sections, from the digits to the conclusion."""
    return [
        input_section(evidence.inspection),
        fitting_section(evidence.networks),
        generalisation_section(evidence.networks),
        architecture_section(evidence.architecture),
        limits_section(evidence.limits),
        conclusion_section(evidence),
    ]
