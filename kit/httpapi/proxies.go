package httpapi

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"lonja/kit/eventlog"
)

// proxies are the networks of those whose X-Forwarded-For is believed.
type proxies []netip.Prefix

// parseProxies reads networks, such as 10.0.0.0/8, and single addresses.
func parseProxies(networks []string) (p proxies, err error) {
	for _, s := range networks {
		network, err := netip.ParsePrefix(s)
		if err != nil {
			addr, err := netip.ParseAddr(s)
			if err != nil {
				return nil, fmt.Errorf("%q must be an address, or a network such as 10.0.0.0/8", s)
			}
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		p = append(p, network.Masked())
	}
	return p, nil
}

// CheckTrustedProxies makes sure that these may be Config's TrustedProxies. The
// error says what they must be.
func CheckTrustedProxies(networks []string) error {
	_, err := parseProxies(networks)
	return err
}

func (p proxies) trust(a netip.Addr) bool {
	for _, network := range p {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// client is the network address that a request came from. A proxy adds the one
// that it heard from at the end of X-Forwarded-For; what stands before that is as
// true as whoever sent it. So the header is read backwards, for as long as those
// who wrote it are trusted.
func (p proxies) client(r *http.Request) (client netip.Addr) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return client
	}
	client = peer.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0 && p.trust(client); i-- {
		before, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		client = before
	}
	return client
}

// parseHop reads an address, which some proxies write with a port.
func parseHop(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		with, err := netip.ParseAddrPort(s)
		if err != nil {
			return a, false
		}
		a = with.Addr()
	}
	return a.Unmap().WithZone(""), true
}

// from is a pseudonym of where a request came from, "" when that is not known. It
// is the same for all addresses that one client is usually given: of IPv6, a
// network of 64 bits.
func (p proxies) from(r *http.Request) string {
	a := p.client(r)
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	network, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return eventlog.DeriveID("client", network.String())
}
