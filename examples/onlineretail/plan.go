package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"lonja/client"
)

// plan is what the import creates in the shop.
type plan struct {
	read      int
	products  []*product
	customers []*customer
	rejected  []rejected
}

type product struct {
	sku, name string
	price     int64        // in pence
	ordered   int64        // pieces, over all orders
	returned  int64        // pieces of these whose orders are cancelled again
	initial   client.Stock // the shop's level once the ordered pieces were added
}

type customer struct {
	number string
	orders []*order // in the file's order
}

// order is one invoice of one customer.
type order struct {
	invoice      string
	lines        []line
	cancellation []line // the lines of the C invoice that cancels it, if any
}

// maxItems is the maximum number of lines of an order in the shop.
const maxItems = 1000

// parts splits the order's lines into orders that the shop accepts.
func (o *order) parts() [][]line { return slices.Collect(slices.Chunk(o.lines, maxItems)) }

// The reasons for which a line cannot be used.
const (
	notGoods   = "is a charge or a correction, not goods"
	notToken   = "has a stock code that the shop cannot take as a SKU"
	notSold    = "takes pieces off the stock without selling them"
	noPrice    = "has no price"
	noCustomer = "names no customer"
	oddName    = "has a customer number that cannot stand in an address"
	addsBack   = "stands on a cancellation but adds pieces"
	cancelPart = "cancels a part of an order, and the shop cancels whole orders only"
	cancelNone = "cancels what no earlier order of this file contains"
)

var (
	token = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	// goods have a number of at least four digits in their stock code. POST,
	// D, M, C2, BANK CHARGES and the like are charges.
	goods = regexp.MustCompile(`\d{4}`)
)

func (l line) cancels() bool { return len(l.invoice) > 0 && l.invoice[0] == 'C' }

// unusable returns why a line cannot be used, or "".
func (l line) unusable() string {
	switch {
	case !goods.MatchString(l.sku):
		return notGoods
	case !token.MatchString(l.sku):
		return notToken
	case l.cancels() && l.quantity >= 0:
		return addsBack
	case !l.cancels() && l.quantity <= 0:
		return notSold
	case l.price <= 0:
		return noPrice
	case l.customer == "":
		return noCustomer
	case !token.MatchString(l.customer):
		return oddName
	}
	return ""
}

// makePlan sorts the file's lines into products, customers and their orders.
// Every line ends up in an order, in a cancellation or among the rejected.
func makePlan(lines []line, bad []rejected) *plan {
	p := &plan{read: len(lines) + len(bad), rejected: slices.Clone(bad)}
	var cancellations []*order
	customers := map[string]*customer{}
	invoices := map[[2]string]*order{}
	for _, l := range lines {
		if reason := l.unusable(); reason != "" {
			p.rejected = append(p.rejected, l.rejected(reason))
			continue
		}
		id := [2]string{l.invoice, l.customer}
		o := invoices[id]
		if o == nil {
			o = &order{invoice: l.invoice}
			invoices[id] = o
			if l.cancels() {
				cancellations = append(cancellations, o)
			} else {
				c := customers[l.customer]
				if c == nil {
					c = &customer{number: l.customer}
					customers[l.customer] = c
					p.customers = append(p.customers, c)
				}
				c.orders = append(c.orders, o)
			}
		}
		o.lines = append(o.lines, l)
	}
	for _, c := range cancellations {
		p.match(c, customers[c.lines[0].customer])
	}
	p.products = priceList(p.customers)
	slices.SortFunc(p.rejected, func(a, b rejected) int { return a.number - b.number })
	return p
}

// priceList is a product for each SKU that is ordered: the latest name, and
// the price that most of its order lines have. A SKU that was sold at several
// prices (by quantity, by season) gets its most usual one, the later of two
// that are equally usual, because the shop has one price for a SKU at a time.
func priceList(customers []*customer) []*product {
	bySKU, returned := map[string][]line{}, map[string]int64{}
	for _, c := range customers {
		for _, o := range c.orders {
			for _, l := range o.lines {
				bySKU[l.sku] = append(bySKU[l.sku], l)
				if o.cancellation != nil {
					returned[l.sku] += l.quantity
				}
			}
		}
	}
	list := make([]*product, 0, len(bySKU))
	for sku, lines := range bySKU {
		slices.SortFunc(lines, func(a, b line) int { return a.number - b.number })
		p := newProduct(sku, lines)
		p.returned = returned[sku]
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *product) int { return strings.Compare(a.sku, b.sku) })
	return list
}

func newProduct(sku string, lines []line) *product {
	p := &product{sku: sku, name: sku}
	count := map[int64]int{}
	for _, l := range lines {
		if l.name != "" {
			p.name = l.name
		}
		p.ordered += l.quantity
		count[l.price]++
	}
	for _, l := range lines {
		if count[l.price] >= count[p.price] {
			p.price = l.price
		}
	}
	return p
}

// key names a part of an order for the Idempotency-Key.
func (o *order) key(part int) string {
	if part == 0 {
		return "onlineretail/invoice/" + o.invoice
	}
	return fmt.Sprintf("onlineretail/invoice/%s/%d", o.invoice, part+1)
}
