package seed

import (
	"fmt"
	"math/rand/v2"
	"time"

	"lonja/events"
	"lonja/kit/eventlog"
)

// What is in the shop. Everything follows from numbers: product n, account n, order n.

// The words of products' names. The first of each list occur as often as the last, so a
// search finds hundreds of products.
var (
	looks  = []string{"small", "large", "red", "green", "blue", "white", "black", "yellow", "vintage", "modern", "heavy", "light", "round", "square", "long", "short", "painted", "plain", "folding", "striped"}
	stuffs = []string{"wooden", "steel", "glass", "paper", "cotton", "wool", "leather", "ceramic", "copper", "bamboo", "linen", "marble", "plastic", "silver", "velvet", "wicker", "cork", "enamel", "felt", "slate", "brass", "clay", "jute", "oak", "walnut"}
	things = []string{"lantern", "table", "chair", "lamp", "bowl", "basket", "frame", "clock", "mug", "plate", "box", "shelf", "cushion", "blanket", "candle", "vase", "tray", "bag", "bench", "mirror", "hook", "stand", "bottle", "board", "jar", "rug", "stool", "bell", "fan", "kettle", "pan", "spoon", "towel", "umbrella", "wallet", "wreath", "board game", "doormat", "notebook", "purse"}
)

// SKU returns the SKU of a product.
func SKU(n int) string { return fmt.Sprintf("S%06d", n) }

func product(n int) events.Product {
	look, stuff, thing := looks[n%len(looks)], stuffs[n/len(looks)%len(stuffs)], things[n/len(looks)/len(stuffs)%len(things)]
	return events.Product{
		SKU: events.SKU(SKU(n)), Name: look + " " + stuff + " " + thing, Category: things[n%len(things)],
		Description: fmt.Sprintf("A %s made of %s, number %d of those that we have. It is made to be ordered again and again.", thing, stuff, n),
		Price:       euros(int64(100 + n%5000)),
	}
}

// onHand is how much there is of a product at first. More than any number of orders takes, but
// of every hundredth nothing.
func onHand(n int) int64 {
	if soldOut(n) {
		return 0
	}
	return 900_000_000
}

func soldOut(n int) bool { return n%100 == 99 }

func euros(cents int64) events.Money { return events.Money{Amount: cents, Currency: "EUR"} }

// reservedFor and payableFor are those of a shop with the default flags. An open order is of
// one whose flags are [Flags]: it would be cancelled by now otherwise.
const (
	reservedFor = 20 * time.Minute
	payableFor  = 15 * time.Minute
	openFor     = 20_000 * time.Hour
)

// Flags are the flags of a shop whose open orders stay open while it is measured.
var Flags = []string{"--reservation-ttl", openFor.String(), "--payment-deadline", (openFor - time.Hour).String()}

// orderOf returns order n.
func (s *Seeder) orderOf(n int) order {
	random := rand.New(rand.NewPCG(s.state.Seed, uint64(n)))
	key := fmt.Sprintf("%d/%d", s.state.Seed, n)
	o := order{
		customer: s.customerOf(random), staff: s.people.Staff, fate: fateOf(random.IntN(1000)),
		at: s.state.Began.Add(time.Duration(n) * s.state.Every), reserved: reservedFor, mayBePaid: payableFor,
		commandID: func(st step) string { return eventlog.DeriveID("seed", key, names[st]) },
	}
	o.command = eventlog.DeriveID("http", string(o.customer), "POST /api/orders", key)
	for range 1 + random.IntN(4) {
		o.add(s.pick(random), 1+random.Int64N(3))
	}
	switch o.fate[len(o.fate)-1] {
	case request: // still open
		o.reserved, o.mayBePaid = openFor, openFor-time.Hour
	}
	if o.fate[1] == refuse {
		short := product(random.IntN(s.state.Products/100)*100 + 99)
		o.items = append(o.items, item(short, 2))
		o.missing = []events.Shortage{{SKU: short.SKU, Wanted: 2}}
	}
	return o
}

func (o *order) add(p events.Product, quantity int64) { o.items = append(o.items, item(p, quantity)) }

func item(p events.Product, quantity int64) events.OrderItem {
	return events.OrderItem{SKU: p.SKU, Name: p.Name, Quantity: quantity, UnitPrice: p.Price, LineTotal: euros(p.Price.Amount * quantity)}
}

// pick returns a product that there is enough of. Few products make up most of what is
// ordered.
func (s *Seeder) pick(random *rand.Rand) events.Product {
	u := random.Float64()
	n := int(u * u * u * float64(s.state.Products))
	if soldOut(n) {
		n--
	}
	return product(n)
}

// customerOf returns who places an order: one time in twenty the first of those who can log
// in, who buys in bulk, one time in twenty another of them, and otherwise one of the many.
func (s *Seeder) customerOf(random *rand.Rand) events.UserID {
	switch n := random.IntN(20); {
	case n == 0:
		return s.people.Customers[0]
	case n == 1:
		return s.people.Customers[random.IntN(len(s.people.Customers))]
	}
	return accountID(s.state.Seed, random.IntN(s.state.Accounts))
}

// names are those of the steps that are commands.
var names = [steps]string{ship: "ship", deliver: "deliver", capture: "capture", decline: "decline", cancelByCustomer: "cancel", cancelByStaff: "staff cancel"}

// InStock returns the SKU of a product that there is enough of; there are 99 for each hundred
// products.
func InStock(n int) string { return SKU(n + n/99) }
