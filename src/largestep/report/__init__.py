"""The page: figures, claims and settings of every experiment in one offline HTML file."""
