"""What results are shown with: figures, files that are written atomically."""
