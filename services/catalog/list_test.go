package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

// pages reads a whole list, and calls meanwhile between two pages.
func pages(shop *shoptest.Shop, ask query.Products, after string, meanwhile func() (after string)) (skus []events.SKU, meta query.Meta) {
	for more := true; more; {
		var list query.List[query.ProductView]
		shop.Get(ask, eventlog.Actor{}, after, &list)
		for _, p := range list.Data {
			skus = append(skus, p.SKU)
		}
		if meta = list.Meta; meta.Next != "" && len(list.Data) != ask.Limit {
			return append(skus, "a short page"), meta
		}
		if ask.Page, more = ask.Page.Following(meta); more {
			after = meanwhile()
		}
	}
	return skus, meta
}

// Whoever pages through the catalogue sees each product once that was there all the time.
func TestProducts_PagesHoldWhileProductsAreAdded(t *testing.T) {
	shop := shoptest.Start(t, New())
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		category, word, made, after := fmt.Sprint("Café ", n), fmt.Sprint("word", n), 0, ""
		var there []events.Product
		add := func() string {
			made++
			p := events.Product{SKU: events.SKU(fmt.Sprintf("p_%d_%d", n, made)), Price: events.Money{Amount: 1, Currency: "GBP"}, Category: category,
				Name: rapid.SampledFrom([]string{"Lamp", "lamp", "A", "日本", strings.Repeat("é", 100)}).Draw(rt, "name") + rapid.SampledFrom([]string{"", " " + word}).Draw(rt, "word"),
				// Older programs recorded texts as they were sent.
				Description: word + strings.Repeat(" x", rapid.IntRange(0, 2).Draw(rt, "length"))}
			if rapid.Bool().Draw(rt, "decomposed") {
				p.Category = strings.ReplaceAll(category, "é", "e\u0301")
			}
			there = append(there, p)
			return shop.Record("CATALOG", events.ProductCreated{Product: p})
		}
		for range rapid.IntRange(1, 9).Draw(rt, "at first") {
			after = add()
		}
		want := slices.Clone(there)
		ask := query.Products{Category: category, Page: query.Page{Limit: rapid.IntRange(1, 4).Draw(rt, "limit")}}
		if rapid.Bool().Draw(rt, "search") {
			ask.Q = word
			slices.SortFunc(want, func(a, b events.Product) int {
				length := func(p events.Product) int { return len(p.Name) + len(p.Description) }
				inName := func(p events.Product) bool { return strings.Contains(p.Name, word) }
				switch {
				case inName(a) != inName(b) && inName(a):
					return -1
				case inName(a) != inName(b):
					return 1
				}
				return cmp.Or(cmp.Compare(length(a), length(b)), slices.Index(there, b)-slices.Index(there, a))
			})
		} else {
			slices.SortFunc(want, func(a, b events.Product) int {
				return cmp.Or(strings.Compare(placeOf(a.Name), placeOf(b.Name)), strings.Compare(string(a.SKU), string(b.SKU)))
			})
		}
		got, _ := pages(shop, ask, after, func() string {
			for range rapid.IntRange(0, 2).Draw(rt, "meanwhile") {
				after = add()
			}
			return after
		})
		old := map[events.SKU]bool{}
		for _, p := range want {
			old[p.SKU] = true
		}
		got = slices.DeleteFunc(got, func(sku events.SKU) bool { return strings.HasPrefix(string(sku), "p_") && !old[sku] })
		if !slices.EqualFunc(got, want, func(sku events.SKU, p events.Product) bool { return sku == p.SKU }) {
			rt.Fatalf("%+v lists %v, want %+v", ask, got, want)
		}
	})
}

// The newest matches are ranked, and all others follow: the pages have every match once.
func TestSearch_ShowsMoreThanItRanks(t *testing.T) {
	shop := shoptest.Start(t, New())
	const products = maxRanked + 55
	var after string
	product := func(i int) events.Product {
		p := events.Product{SKU: events.SKU(fmt.Sprint("lamp_", i)), Name: "A thing", Description: "like a lamp", Price: events.Money{Amount: 1, Currency: "GBP"}}
		if i%5 == 0 { // those are found by their names
			p.Name, p.Description = "Lamp", strings.Repeat("long ", i%7)
		}
		return p
	}
	for i := range products {
		after = shop.Record("CATALOG", events.ProductCreated{Product: product(i)})
	}
	added := products
	byCursor, meta := pages(shop, query.Products{Q: "lamp", Page: query.Page{Limit: 90}}, after, func() string {
		added++
		return shop.Record("CATALOG", events.ProductCreated{Product: product(added)})
	})
	if meta.Total <= products || meta.TotalIsAtLeast {
		t.Errorf("counted %+v", meta)
	}
	if len(byCursor) != products {
		t.Fatalf("%d products on all pages, want %d", len(byCursor), products)
	}
	unseen := map[events.SKU]bool{}
	for i := range products {
		unseen[product(i).SKU] = true
	}
	number := func(sku events.SKU) (i int) { _, _ = fmt.Sscanf(string(sku), "lamp_%d", &i); return i }
	for at, sku := range byCursor {
		if !unseen[sku] {
			t.Fatalf("%s at %d comes twice", sku, at)
		}
		delete(unseen, sku)
		switch i := number(sku); {
		case at < maxRanked/5 && i%5 != 0:
			t.Fatalf("%s at %d is before others that have the word in the name", sku, at)
		case at < maxRanked && i < products-maxRanked:
			t.Fatalf("%s at %d is among the ranked, and one of the oldest", sku, at)
		case at > maxRanked && i > number(byCursor[at-1]):
			t.Fatalf("%s at %d is newer than the one before", sku, at)
		}
	}
	// The pages by number show the same, also where the ranked ones end.
	var list query.List[query.ProductView]
	for page := 1; page <= 12; page++ {
		var one query.List[query.ProductView]
		shop.Get(query.Products{Q: "lamp", Page: query.Page{Page: page, Limit: 90}}, eventlog.Actor{}, after, &one)
		list.Data = append(list.Data, one.Data...)
	}
	seen := map[events.SKU]bool{}
	for _, p := range list.Data {
		seen[p.SKU] = true
	}
	if len(seen) != added || len(list.Data) != added {
		t.Errorf("by number %d products, %d different ones, want %d", len(list.Data), len(seen), added)
	}
}

func TestSearch_WordsAreNeverAQuery(t *testing.T) {
	shop := shoptest.Start(t, New())
	after := shop.Record("CATALOG", events.ProductCreated{Product: events.Product{SKU: "lamp", Name: "Red lamp", Category: "Light", Price: events.Money{Amount: 1, Currency: "GBP"}}})
	for q, found := range map[string]int{
		"lamp": 1, "red la": 1, "LAMP red": 1, "lamps": 1, "la red": 0, "r": 1, "light": 0, categoryWord("Light"): 0,
		`"`: 0, `lamp "`: 1, `name : lamp`: 0, `lamp OR x`: 0, `lamp*`: 1, `)`: 0, `{name} : (`: 0, `-lamp`: 1, "lamp\x00red": 1,
	} {
		for _, category := range []string{"", "Light", `"`} {
			want := found
			if category == `"` {
				want = 0
			}
			var list query.List[query.ProductView]
			shop.Get(query.Products{Q: q, Category: category}, eventlog.Actor{}, after, &list)
			if len(list.Data) != want || list.Meta.Total != want {
				t.Errorf("%q in %q: %d of %d, want %d", q, category, len(list.Data), list.Meta.Total, want)
			}
		}
	}
	_, err := shop.Query(t.Context(), query.Products{Q: "lamp", Page: query.Page{After: "x"}}, eventlog.Envelope{})
	if r, ok := errs.As(err); !ok || r.Code != errs.Invalid || r.Field != "after" {
		t.Errorf("no cursor: %v", err)
	}
}
