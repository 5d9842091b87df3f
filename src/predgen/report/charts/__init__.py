"""Charts as inline SVG; all colours are the style sheet's, so that they follow its light and dark theme."""
