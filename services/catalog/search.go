package catalog

import (
	"context"
	"strings"
	"unicode"

	"lonja/events/query"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// maxRanked is how many products a search ranks: the newest that match. Those that match
// besides follow them, newest first.
const maxRanked = 1000

// match is what the results of a search are sorted by. It depends on the product and the words
// only. FTS5's own rank also depends on all other products: with each one that is added, results
// would change their places, and a page could show some twice and others never. It also reads
// every match, 40 ms for a word that 20,000 products have.
type match struct {
	Newest int64 // the newest product when the search began; newer ones are not shown
	Ranked int64 // the oldest one that is ranked
	Tier   int64 // inName, inText or unranked
	Length int64 // of the product's texts: the shorter they are, the more of them is what was searched for
	Age    int64 // the product's number, negative: the newest first
}

// The tiers of the results.
const (
	inName   = iota // the name has all words
	inText          // the name and the description have them
	unranked        // the same, and there are maxRanked newer ones
)

func (m *match) columns() []any { return []any{&m.Tier, &m.Length, &m.Age} }

// search lists the products that have all words, best match first.
func search(ctx context.Context, productsView *projection.View, p query.Page, words, category string) (any, error) {
	page, err := query.SectionOf[match](p, "catalog.products", category, words)
	if err != nil {
		return nil, err
	}
	s := &searching{view: productsView, all: matching("name description", words, category), named: matching("name", words, category), from: match{Tier: -1}}
	var total int
	if _, err := s.view.Get(ctx, `SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)`, []any{s.all, query.CountAtMost}, &total); err != nil {
		return nil, err
	}
	if page.Begins != nil {
		s.from = *page.Begins
	} else if err := s.begin(ctx); err != nil {
		return nil, err
	}
	products, err := s.ranked(ctx, page.Limit, page.Offset)
	if missing := page.Limit - len(products.JSON); err == nil && !products.More {
		var rest service.Rows[match]
		if rest, err = s.unranked(ctx, missing, max(0, page.Offset-maxRanked)); len(rest.JSON) > 0 {
			products.JSON, products.Last = append(products.JSON, rest.JSON...), rest.Last
		}
		products.More = rest.More
	}
	products.Last.Newest, products.Last.Ranked = s.from.Newest, s.from.Ranked
	return query.NewList(products.JSON, total, page, page.Next(products.Last, products.More)), err
}

// searching is a search in progress.
type searching struct {
	view       *projection.View
	all, named string // what FTS5 is asked for: the words anywhere, and in the name
	from       match  // the results begin after it
}

// begin finds out which products are ranked. It stays so on all pages.
func (s *searching) begin(ctx context.Context) error {
	if _, err := s.view.Get(ctx, `SELECT ifnull(max(id), 0) FROM products`, nil, &s.from.Newest); err != nil {
		return err
	}
	_, err := s.view.Get(ctx, `SELECT rowid FROM words WHERE words MATCH ? AND rowid <= ? ORDER BY rowid DESC LIMIT 1 OFFSET ?`,
		[]any{s.all, s.from.Newest, maxRanked - 1}, &s.from.Ranked)
	return err
}

// ranked returns results that are ranked.
func (s *searching) ranked(ctx context.Context, limit, offset int) (service.Rows[match], error) {
	return service.ListRows(ctx, s.view, limit, `
		WITH named AS MATERIALIZED (SELECT rowid FROM words WHERE words MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid DESC LIMIT ?4),
			found AS MATERIALIZED (SELECT rowid FROM words WHERE words MATCH ?5 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid DESC LIMIT ?4),
			sorted AS MATERIALIZED (SELECT p.id, iif(p.id IN named, ?6, ?7) AS tier, p.length FROM found JOIN products p ON p.id = found.rowid),
			page AS (SELECT * FROM sorted WHERE (tier, length, -id) > (?8, ?9, ?10) ORDER BY tier, length, -id LIMIT ?11 OFFSET ?12)
		SELECT f.tier, f.length, -f.id, p.body FROM page f JOIN products p ON p.id = f.id ORDER BY f.tier, f.length, -f.id`,
		// Products that were changed since the search began may match now: so there may be some more.
		[]any{s.named, s.from.Ranked, s.from.Newest, 2 * maxRanked, s.all, inName, inText,
			s.from.Tier, s.from.Length, s.from.Age, limit + 1, offset}, (*match).columns)
}

// unranked returns results that come after those that are ranked.
func (s *searching) unranked(ctx context.Context, limit, offset int) (service.Rows[match], error) {
	before := s.from.Ranked
	if s.from.Tier == unranked {
		before = -s.from.Age
	}
	return service.ListRows(ctx, s.view, limit, `
		SELECT ?1, 0, -p.id, p.body FROM (SELECT rowid AS id FROM words WHERE words MATCH ?2 AND rowid < ?3 ORDER BY rowid DESC LIMIT ?4 OFFSET ?5) f
		JOIN products p ON p.id = f.id ORDER BY p.id DESC`,
		[]any{unranked, s.all, before, limit + 1, offset}, (*match).columns)
}

// searchWords turns what a person typed into an FTS5 query: every word must occur, and the
// last one may be a prefix. The words are quoted, so FTS5's operators have no effect. It
// returns "" when there are no words.
func searchWords(q string) string {
	var words []string
	for w := range strings.FieldsFuncSeq(q, func(r rune) bool { return unicode.IsSpace(r) || r == 0 }) { // FTS5's texts end at a zero
		words = append(words, `"`+strings.ReplaceAll(w, `"`, `""`)+`"`)
	}
	if len(words) == 0 {
		return ""
	}
	return strings.Join(words, " ") + "*"
}

// matching returns an FTS5 query for products of a category, or of all, whose columns have the
// words.
func matching(columns, words, category string) string {
	query := "{" + columns + "} : (" + words + ")"
	if category != "" {
		query = "(" + query + ") AND category : " + categoryWord(category)
	}
	return query
}
