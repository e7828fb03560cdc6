package catalog

import (
	"context"
	"strings"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
	"lonja/kit/service"
)

func findProduct(productsView *projection.View) func(context.Context, query.Product, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.Product, _ eventlog.Actor) (any, error) {
		if err := events.Token("sku", q.SKU); err != nil {
			return nil, err
		}
		var body []byte
		found, err := productsView.Get(ctx, `SELECT body FROM products WHERE sku = ?`, []any{string(q.SKU)}, &body)
		if err == nil && !found {
			err = noSuchProduct(q.SKU)
		}
		return body, err
	}
}

func listProducts(productsView *projection.View) func(context.Context, query.Products, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.Products, _ eventlog.Actor) (any, error) {
		page := q.Page.Normal()
		from, order, args := "products p WHERE p.listed = 1", "p.name, p.sku", []any{}
		if words := searchWords(events.NormalText(q.Q)); words != "" {
			from, order = "words w JOIN products p ON p.id = w.rowid WHERE w.words MATCH ? AND p.listed = 1", "w.rank, p.sku"
			args = append(args, words)
		}
		if q.Category != "" {
			// Older programs recorded a category as it was sent, not in normal form.
			from += " AND p.category IN (?, ?)"
			args = append(args, events.NormalText(q.Category), q.Category)
		}
		var total int
		if _, err := productsView.Get(ctx, "SELECT count(*) FROM "+from, args, &total); err != nil {
			return nil, err
		}
		products, err := service.JSONRows(ctx, productsView, "SELECT p.body FROM "+from+" ORDER BY "+order+" LIMIT ? OFFSET ?",
			append(args, page.Limit, page.Offset())...)
		return query.NewList(products, total, page), err
	}
}

// searchWords turns what a person typed into an FTS5 query: every word must occur, and the
// last one may be a prefix. The words are quoted, so FTS5's operators have no effect. It
// returns "" when there are no words.
func searchWords(q string) string {
	var words []string
	for w := range strings.FieldsSeq(q) {
		words = append(words, `"`+strings.ReplaceAll(w, `"`, `""`)+`"`)
	}
	if len(words) == 0 {
		return ""
	}
	return strings.Join(words, " ") + "*"
}
