package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
	"unicode/utf8"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// The products view is the catalogue as customers see it. A product's row holds the
// answer to a query for it, ready-made. Its persisted name is "shelf".
var productsDefinition = projection.Definition{
	Name: "shelf",
	Schema: `
CREATE TABLE products (
	id       INTEGER PRIMARY KEY, -- the row of its words; the newest is the greatest
	sku      TEXT NOT NULL UNIQUE,
	listed   INTEGER NOT NULL,
	category TEXT NOT NULL,    -- in normal form
	place    TEXT NOT NULL,    -- how the name begins: lists are sorted by it
	length   INTEGER NOT NULL, -- of name and description
	body     TEXT NOT NULL     -- a query.ProductView
);
CREATE INDEX products_listed ON products (place, sku) WHERE listed = 1;
CREATE INDEX products_by_category ON products (category, place, sku) WHERE listed = 1;
CREATE VIRTUAL TABLE words USING fts5 (name, description, category, tokenize = 'porter unicode61', prefix = '1 2 3');`,
	Reads:    []projection.Source{{Stream: "CATALOG", Subjects: []string{"events.product.>"}}},
	Project:  project,
	Commands: true, // the caller chooses the SKU, so a command id alone does not name the entity
}

func project(tx *projection.Tx, r eventlog.Record) error {
	switch e := r.Event.(type) {
	case events.ProductCreated:
		return putListed(tx, e.Product, r.Time, r.Time)
	case events.ProductChanged:
		return replace(tx, e.Product, r.Time)
	case events.ProductRestored:
		return replace(tx, e.Product, r.Time)
	case events.ProductArchived:
		row, found, err := get(tx, e.SKU)
		if err != nil || !found {
			return err
		}
		row.Available, row.UpdatedAt = false, r.Time
		return put(tx, row)
	}
	return nil
}

func putListed(tx *projection.Tx, p events.Product, createdAt, updatedAt time.Time) error {
	return put(tx, query.ProductView{Product: p, Available: true, CreatedAt: createdAt, UpdatedAt: updatedAt})
}

// replace puts a changed product in place of the row that is there, which keeps its
// creation time. The product is listed afterwards.
func replace(tx *projection.Tx, p events.Product, at time.Time) error {
	row, found, err := get(tx, p.SKU)
	if err != nil {
		return err
	}
	if !found {
		row.CreatedAt = at
	}
	return putListed(tx, p, row.CreatedAt, at)
}

// put inserts or replaces a product's row. Only a listed product can be found by words.
func put(tx *projection.Tx, p query.ProductView) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	var id int64
	category := events.NormalText(p.Category) // older programs recorded it as it was sent
	if _, err := tx.Get(`INSERT INTO products (sku, listed, category, place, length, body) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (sku) DO UPDATE SET listed = excluded.listed, category = excluded.category, place = excluded.place, length = excluded.length, body = excluded.body
		RETURNING id`,
		[]any{string(p.SKU), p.Available, category, placeOf(p.Name), len(p.Name) + len(p.Description), string(body)}, &id); err != nil {
		return err
	}
	if err := tx.Exec(`DELETE FROM words WHERE rowid = ?`, id); err != nil || !p.Available {
		return err
	}
	return tx.Exec(`INSERT INTO words (rowid, name, description, category) VALUES (?, ?, ?, ?)`, id, p.Name, p.Description, categoryWord(category))
}

// maxPlace is how many bytes of a name sort a list. They are part of a cursor.
const maxPlace = 120

// placeOf returns how a name begins: its first characters, maxPlace bytes at most.
func placeOf(name string) string {
	if len(name) <= maxPlace {
		return name
	}
	end := maxPlace
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end]
}

// categoryWord returns the word by which the products of a category are found among those that
// other words find. It is "" without a category.
func categoryWord(category string) string {
	if category == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(category))
	return "x" + hex.EncodeToString(sum[:16])
}

func get(tx *projection.Tx, sku events.SKU) (p query.ProductView, found bool, err error) {
	var body string
	if found, err = tx.Get(`SELECT body FROM products WHERE sku = ?`, []any{string(sku)}, &body); err != nil || !found {
		return p, found, err
	}
	return p, true, json.Unmarshal([]byte(body), &p)
}
