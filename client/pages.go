package client

import (
	"iter"
	"net/url"
	"strconv"
)

// Paging selects a page of a list.
type Paging struct {
	Page  int // the first is 1; 0 means 1
	Limit int // entries on a page, 1 to 100; 0 means 20, or 100 if all pages are read
}

// List is one page of a longer list.
type List[T any] struct {
	Data []T  `json:"data"`
	Meta Meta `json:"meta"`
}

// Meta is the position of a page in its list.
type Meta struct {
	Total    int `json:"total"` // entries on all pages
	Page     int `json:"page"`
	LastPage int `json:"last_page"` // at least 1
}

// values adds the paging to the fields of a query string, and removes empty fields.
func (p Paging) values(fields url.Values) url.Values {
	for name, number := range map[string]int{"page": p.Page, "limit": p.Limit} {
		if number != 0 {
			fields.Set(name, strconv.Itoa(number))
		}
	}
	for name := range fields {
		if fields.Get(name) == "" {
			fields.Del(name)
		}
	}
	return fields
}

// all returns the entries of a list from a page on, and ends after an error. If the list
// changes meanwhile, an entry may be returned twice or not at all.
func all[T any](from Paging, list func(Paging) (*List[T], error)) iter.Seq2[T, error] {
	if from.Limit == 0 {
		from.Limit = 100
	}
	return func(yield func(T, error) bool) {
		for p, last := from, max(1, from.Page); max(1, p.Page) <= last; p.Page = max(1, p.Page) + 1 {
			page, err := list(p)
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, entry := range page.Data {
				if !yield(entry, nil) {
					return
				}
			}
			last = page.Meta.LastPage
		}
	}
}
