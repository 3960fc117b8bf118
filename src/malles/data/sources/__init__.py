"""One file per data set that malles knows by name."""

from __future__ import annotations

from malles.data.sources import (
    casino,
    complete_journey,
    craigslist_bargain,
    deal_or_no_deal,
    delimited,
    online_retail,
    scanner_panel,
    synthetic,
)
from malles.data.sources.source import Source

SOURCES: dict[str, Source] = {
    s.name: s
    for s in (
        complete_journey.SOURCE,
        delimited.SOURCE,
        online_retail.SOURCE,
        scanner_panel.SOURCE,
        craigslist_bargain.SOURCE,
        deal_or_no_deal.SOURCE,
        casino.SOURCE,
        synthetic.SOURCE,
    )
}
"""Every source by name."""

__all__ = ["SOURCES", "Source"]
