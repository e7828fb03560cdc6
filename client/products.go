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

// NewProduct is the product that CreateProduct creates.
type NewProduct struct {
	SKU         string `json:"sku"` // chosen by the merchant: 1 to 64 letters, digits, '_' or '-'
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Category    string `json:"category,omitempty"`
	Price       Money  `json:"price"`
	ImageURL    string `json:"image_url,omitempty"`
}

// Product is a product in the catalogue.
type Product struct {
	NewProduct
	Available bool      `json:"available"` // false once archived
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// ProductChange has the fields to change; nil leaves a field as it is.
type ProductChange struct {
	Name        *string `json:"name,omitempty"`
	Price       *Money  `json:"price,omitempty"`
	Description *string `json:"description,omitempty"`
	Category    *string `json:"category,omitempty"`
	ImageURL    *string `json:"image_url,omitempty"`
	// Available restores an archived product if true, and archives it if false. With false,
	// all other fields must be nil.
	Available *bool `json:"available,omitempty"`
}

// ProductQuery selects products.
type ProductQuery struct {
	Q        string // words in names and descriptions; best match first
	Category string // exact; "" for all
	Paging
}

// CreateProduct adds a product to the catalogue. The error is [Conflict] if the SKU exists.
// Staff only.
func (c *Client) CreateProduct(ctx context.Context, p NewProduct, options ...CallOption) (*Product, error) {
	return call[Product](ctx, c, request{method: http.MethodPost, path: "/api/products", user: true, keyed: true, body: p}, options)
}

// ListProducts returns one page of the available products.
func (c *Client) ListProducts(ctx context.Context, q ProductQuery, options ...CallOption) (*List[Product], error) {
	return call[List[Product]](ctx, c, request{method: http.MethodGet, path: "/api/products",
		query: q.values(url.Values{"q": {q.Q}, "category": {q.Category}})}, options)
}

// AllProducts returns all available products from q.Page on, see [Client.ListProducts]. It
// ends after an error.
func (c *Client) AllProducts(ctx context.Context, q ProductQuery, options ...CallOption) iter.Seq2[Product, error] {
	return all(q.Paging, func(p Paging) (*List[Product], error) { q.Paging = p; return c.ListProducts(ctx, q, options...) })
}

// GetProduct returns a product, even if it is archived.
func (c *Client) GetProduct(ctx context.Context, sku string, options ...CallOption) (*Product, error) {
	return call[Product](ctx, c, request{method: http.MethodGet, path: in("/api/products/", sku, "")}, options)
}

// ChangeProduct changes a product and returns it. Staff only.
func (c *Client) ChangeProduct(ctx context.Context, sku string, change ProductChange, options ...CallOption) (*Product, error) {
	return call[Product](ctx, c, request{method: http.MethodPatch, path: in("/api/products/", sku, ""), user: true, body: change}, options)
}

// ArchiveProduct archives a product: it is no longer listed or orderable. It can still be
// read, and restored with [Client.ChangeProduct]. Staff only.
func (c *Client) ArchiveProduct(ctx context.Context, sku string, options ...CallOption) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: in("/api/products/", sku, ""), user: true}, options)
	return err
}

// Stock is the stock of a product, in pieces. Available is OnHand minus Reserved, the pieces
// that are reserved for orders.
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

// SetStock records a count of the pieces on hand. The error is [Conflict] if more pieces are
// reserved. A retry records the count again, and overwrites an adjustment made in between.
// Staff only.
func (c *Client) SetStock(ctx context.Context, sku string, onHand int64, options ...CallOption) (*Stock, error) {
	return call[Stock](ctx, c, request{method: http.MethodPut, path: in("/api/products/", sku, "/stock"), user: true,
		body: map[string]int64{"on_hand": onHand}}, options)
}

// StockAdjustment adds Delta pieces to the stock, or removes them if Delta is negative.
type StockAdjustment struct {
	Delta  int64  `json:"delta"`
	Reason string `json:"reason"` // required
}

// AdjustStock adds pieces to the stock on hand, or removes them. Staff only.
func (c *Client) AdjustStock(ctx context.Context, sku string, adjustment StockAdjustment, options ...CallOption) (*Stock, error) {
	return call[Stock](ctx, c, request{method: http.MethodPost, path: in("/api/products/", sku, "/stock/adjustments"), user: true,
		keyed: true, body: adjustment}, options)
}
