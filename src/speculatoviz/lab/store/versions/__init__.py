"""The versions of the store's tables, one file each: Alembic brings a store from any of them to the newest."""
