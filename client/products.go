package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Money is an amount in the minor units of an ISO 4217 currency: 295 GBP is
// £2.95, 295 JPY is ¥295.
type Money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// NewProduct is a product to create.
type NewProduct struct {
	SKU         string `json:"sku"` // the merchant's own name: 1 to 64 letters, digits, '_' or '-'
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Category    string `json:"category,omitempty"`
	Price       Money  `json:"price"`
	ImageURL    string `json:"image_url,omitempty"`
}

// Product is a product as the catalogue shows it.
type Product struct {
	NewProduct
	Available bool      `json:"available"` // false once archived
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// ProductChange is what is to change; nil stays as it is.
type ProductChange struct {
	Name        *string `json:"name,omitempty"`
	Price       *Money  `json:"price,omitempty"`
	Description *string `json:"description,omitempty"`
	Category    *string `json:"category,omitempty"`
	ImageURL    *string `json:"image_url,omitempty"`
	// Available brings an archived product back when true, and archives it when
	// false; then nothing else may change.
	Available *bool `json:"available,omitempty"`
}

// ProductQuery says which products are wanted.
type ProductQuery struct {
	Q        string // words in names and descriptions, best match first
	Category string // exactly this one
	Paging
}

// CreateProduct puts a product into the catalogue. It is a [Conflict] when the
// SKU is taken. Staff only.
func (c *Client) CreateProduct(ctx context.Context, p NewProduct, options ...CallOption) (*Product, error) {
	return call[Product](ctx, c, request{method: http.MethodPost, path: "/api/products", user: true, keyed: true, body: p}, options)
}

// ListProducts returns one page of the products that are available.
func (c *Client) ListProducts(ctx context.Context, q ProductQuery, options ...CallOption) (*List[Product], error) {
	return call[List[Product]](ctx, c, request{method: http.MethodGet, path: "/api/products",
		query: q.values(url.Values{"q": {q.Q}, "category": {q.Category}})}, options)
}

// AllProducts returns the products page by page, see [Client.ListProducts].
func (c *Client) AllProducts(ctx context.Context, q ProductQuery, options ...CallOption) iter.Seq2[Product, error] {
	return all(q.Paging, func(p Paging) (*List[Product], error) { q.Paging = p; return c.ListProducts(ctx, q, options...) })
}

// GetProduct returns a product, be it archived.
func (c *Client) GetProduct(ctx context.Context, sku string, options ...CallOption) (*Product, error) {
	return call[Product](ctx, c, request{method: http.MethodGet, path: in("/api/products/", sku, "")}, options)
}

// ChangeProduct changes a product and returns it. Staff only.
func (c *Client) ChangeProduct(ctx context.Context, sku string, to ProductChange, options ...CallOption) (*Product, error) {
	return call[Product](ctx, c, request{method: http.MethodPatch, path: in("/api/products/", sku, ""), user: true, body: to}, options)
}

// ArchiveProduct takes a product out of lists and off sale. It can still be read,
// and brought back with [Client.ChangeProduct]. Staff only.
func (c *Client) ArchiveProduct(ctx context.Context, sku string, options ...CallOption) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: in("/api/products/", sku, ""), user: true}, options)
	return err
}

// Stock is how many pieces of a SKU there are. Available are those on hand that
// are not reserved for orders.
type Stock struct {
	SKU       string `json:"sku"`
	OnHand    int64  `json:"on_hand"`
	Reserved  int64  `json:"reserved"`
	Available int64  `json:"available"`
}

// GetStock returns the stock of a product.
func (c *Client) GetStock(ctx context.Context, sku string, options ...CallOption) (*Stock, error) {
	return call[Stock](ctx, c, request{method: http.MethodGet, path: in("/api/products/", sku, "/stock")}, options)
}

// SetStock records a count: so many pieces are on hand. It is a [Conflict] when
// more of them are reserved. A retry counts again, over what was adjusted between
// the two. Staff only.
func (c *Client) SetStock(ctx context.Context, sku string, onHand int64, options ...CallOption) (*Stock, error) {
	return call[Stock](ctx, c, request{method: http.MethodPut, path: in("/api/products/", sku, "/stock"), user: true,
		body: map[string]int64{"on_hand": onHand}}, options)
}

// StockAdjustment is so many pieces more, or fewer when Delta is negative.
type StockAdjustment struct {
	Delta  int64  `json:"delta"`
	Reason string `json:"reason"` // required
}

// AdjustStock adds pieces to what is on hand, or takes some away. Staff only.
func (c *Client) AdjustStock(ctx context.Context, sku string, by StockAdjustment, options ...CallOption) (*Stock, error) {
	return call[Stock](ctx, c, request{method: http.MethodPost, path: in("/api/products/", sku, "/stock/adjustments"), user: true,
		keyed: true, body: by}, options)
}
