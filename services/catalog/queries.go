package catalog

import (
	"context"

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
		if words := searchWords(events.NormalText(q.Q)); words != "" {
			return search(ctx, productsView, q.Page, words, events.NormalText(q.Category))
		}
		return browse(ctx, productsView, q.Page, events.NormalText(q.Category))
	}
}

// shown is what a list of products is sorted by: how the name begins, and the SKU.
type shown [2]string

// browse lists the products of a category, or of all, by name.
func browse(ctx context.Context, productsView *projection.View, p query.Page, category string) (any, error) {
	page, err := query.SectionOf[shown](p, "catalog.products", category)
	if err != nil {
		return nil, err
	}
	where, args := "listed = 1 AND (place, sku) > (?, ?)", []any{"", ""}
	if category != "" {
		where, args = where+" AND category = ?", append(args, category)
	}
	var total int
	if _, err := productsView.Get(ctx, "SELECT count(*) FROM (SELECT 1 FROM products WHERE "+where+" LIMIT ?)", append(args, query.CountAtMost), &total); err != nil {
		return nil, err
	}
	if page.Begins != nil {
		args[0], args[1] = page.Begins[0], page.Begins[1]
	}
	products, err := service.ListRows(ctx, productsView, page.Limit, `SELECT p.place, p.sku, p.body
		FROM (SELECT id FROM products WHERE `+where+` ORDER BY place, sku LIMIT ? OFFSET ?) found JOIN products p ON p.id = found.id ORDER BY p.place, p.sku`,
		append(args, page.Limit+1, page.Offset), func(s *shown) []any { return []any{&s[0], &s[1]} })
	return query.NewList(products.JSON, total, page, page.Next(products.Last, products.More)), err
}
