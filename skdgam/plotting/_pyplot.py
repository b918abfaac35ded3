"""matplotlib, when something is drawn."""

WIDTH = 5.5  # of a figure, in inches: text of 10 points has 6 where it fills a column of 85 mm


def import_pyplot(display):
    """Import pyplot for a display of this name."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        message = f'{display} needs matplotlib: pip install "skdgam[plot]".'
        raise ImportError(message) from error
    return plt
