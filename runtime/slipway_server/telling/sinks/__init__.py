"""Who is told. Of the telling process alone: Azure's packages are imported here."""
