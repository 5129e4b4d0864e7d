"""What a person sees: the live table, sentences, pictures and pages."""
