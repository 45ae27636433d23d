"""The last stages side by side, as data and as a page."""
