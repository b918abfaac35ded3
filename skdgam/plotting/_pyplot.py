"""matplotlib, when something is drawn."""


def import_pyplot(display):
    """Import pyplot for a display of this name."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        message = f'{display} needs matplotlib: pip install "skdgam[plot]".'
        raise ImportError(message) from error
    return plt
