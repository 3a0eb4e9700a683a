# SPDX-License-Identifier: PostgreSQL
"""The page in Chromium, as a person uses it, on the real application: nginx, backend, pgweir, PostgreSQL.

Pictures of it lie beside the containers' logs (--logs DIR): to be looked at, since no program says that a page
looks well. What can be measured is: nothing sticks out at 360 pixels, and text has its contrast in both schemes.
"""
import os
import time

from apptier import PAGE, AppTier
from browser import Browser, missing
from lib import Skip, check, equal, limit, quick, until

# The contrast of each kind of text with what is behind it (WCAG 2.2, 1.4.3), the worst first.
CONTRAST = """
const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
function behind(element) {
  for (let e = element; e; e = e.parentElement) {
    const color = numbers(getComputedStyle(e).backgroundColor);
    if (color.length < 4 || color[3] > 0) return color;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
}
return [...document.querySelectorAll("body *")].filter((e) => e.offsetParent && !e.disabled &&
    [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())).map((e) => {
  const [a, b] = [light(numbers(getComputedStyle(e).color)), light(behind(e))];
  return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName + "." + e.className + " " + e.innerText.slice(0, 30)];
}).sort((x, y) => x[0] - y[0]).slice(0, 3);
"""
STICKS_OUT = """
const wide = document.documentElement.clientWidth;
const scrolls = (e) => e.closest(".scroll");
const cut = [...document.querySelectorAll(".scroll")].filter((e) => e.scrollWidth > e.clientWidth + 1)
  .map((e) => `table ${e.scrollWidth} of ${e.clientWidth}`);
return [...document.querySelectorAll("body *")].filter((e) => e.offsetParent && !scrolls(e) && !e.matches(".skip") &&
    (e.getBoundingClientRect().right > wide + 1 || e.getBoundingClientRect().left < -1)).map((e) => e.tagName + "#" + e.id)
  .concat(cut, document.documentElement.scrollWidth > wide ? [`page ${document.documentElement.scrollWidth} of ${wide}`] : []);
"""
# What the page's fetch does next: "lost" hands the request on and loses its answer.
LOSE_ANSWER = """
const real = window.fetch;
window.fetch = async (path, options = {}) => {
  const answer = await real(path, options);
  if (options.method === "POST") { window.fetch = real; throw new TypeError("the answer was lost"); }
  return answer;
};
"""


def at_the_bank(tier, account):
    return str(tier.one("select balance from finai.accounts where id = %s", account)[0])


def transfers(tier):
    return tier.one("select count(*) from finai.transfers")[0]


class Page:
    """The page as a person sees it."""

    def __init__(self, browser, folder):
        self.browser, self.folder = browser, folder

    def open(self):
        self.browser.open(PAGE + "/")
        until("the page is ready", 15, lambda: self.browser.script("return document.body.dataset.ready") == "yes")
        until("quotes", 10, lambda: self.browser.text("#state") == "live")

    def fill(self, to, amount, note=""):
        for selector, text in (("#to", to), ("#amount", amount), ("#note", note)):
            self.browser.type(selector, text)

    def wait_send(self):
        """Send takes no second click for a moment after an answer."""
        until("a button that can be pressed", 15,
              lambda: not self.browser.script("return document.getElementById('send').disabled"))

    def send(self):
        self.wait_send()
        self.browser.click("#send")

    def notice(self, which):
        """The text of a notice once it shows."""
        shown = "const e = document.getElementById(arguments[0]); return e.hidden ? '' : e.innerText"
        return until(f"notice {which}", 15, lambda: self.browser.script(shown, which))

    def balance(self):
        return self.browser.script("return document.getElementById('balance').dataset.amount")

    def is_marked(self, field):
        return self.browser.script("const e = document.getElementById(arguments[0]);"
                                   "return e.getAttribute('aria-invalid') === 'true' && document.activeElement === e", field)

    def picture(self, name):
        self.browser.screenshot(os.path.join(self.folder, name + ".png"))


def start(cluster, binary):
    """(tier, page, browser); the tier is started once, and ends with the namespaces of this file."""
    if missing():
        raise Skip(missing())
    if not hasattr(cluster, "app_tier"):
        cluster.app_tier = AppTier(cluster, binary, feed_ms=500)
    browser = Browser(os.path.join(cluster.scratch, f"browser-{time.monotonic_ns()}"), [PAGE])
    return cluster.app_tier, Page(browser, cluster.log_dir), browser


@quick
@limit(300)
def test_page(cluster, binary, sub):
    tier, page, browser = start(cluster, binary)
    try:
        check_loading(page, sub)
        check_transfer(page, tier, sub)
        check_refusals(page, tier, sub)
        check_repeats(page, tier, sub)
        check_looks(page, sub)
    finally:
        browser.close()


@limit(300)
def test_outage(cluster, binary):
    """The page says when the backend is gone, and when it is back."""
    tier, page, browser = start(cluster, binary)
    try:
        page.open()
        tier.backend.stop(grace=1)
        until("the state", 20, lambda: "no quotes" in browser.text("#state"))
        page.picture("light-outage")
        # Opened anew meanwhile, it must come to life by itself too.
        browser.open(PAGE + "/")
        until("the state", 20, lambda: browser.text("#state").startswith("no "))
        tier.backend.start()
        until("live again", 40, lambda: browser.text("#state") == "live")
        until("accounts", 20, lambda: len(browser.texts("#account option")) == 50 and page.balance())
    finally:
        browser.close()


def check_loading(page, sub):
    browser = page.browser
    browser.emulate()
    with sub("page::loads_without_a_word_on_the_console"):
        page.open()
        equal(browser.console(), [])
        equal(browser.script("return document.title"), "FinAI Nexus")
    with sub("page::assets_come_hashed_and_from_here"):
        names = browser.script("return performance.getEntriesByType('resource').map(e => e.name)")
        check(all(n.startswith(PAGE) for n in names), str(names))
        check(any("/assets/app." in n and n.endswith(".js") for n in names), str(names))
    with sub("page::quotes_refresh"):
        rows = browser.texts("#quotes tbody tr")
        check(len(rows) == 10 and any("Weir Waterworks" in r for r in rows), str(rows))
        until("other prices", 15, lambda: browser.texts("#quotes tbody tr") != rows)
        changes = browser.texts("#quotes tbody td:nth-child(4)")
        check(all(c[0] in "+\u2212" for c in changes), str(changes))
    with sub("page::accounts_are_offered"):
        options = browser.texts("#account option")
        equal(len(options), 50)
        check(options[0].startswith("1 - "), options[0])
        equal(browser.text("#owner"), options[0].partition(" - ")[2])
        equal((page.balance(), browser.text("#balance")), ("10000.00", "10\u202f000.00 EUR"))


def check_transfer(page, tier, sub):
    browser = page.browser
    with sub("page::a_transfer_moves_money_and_shows_at_once"):
        page.fill("2", "12,50", "<b>rent</b> \u20ac")
        page.send()
        said = page.notice("transfer-done")
        check("12.50 EUR sent to 2" in said, said)
        until("the new balance", 15, lambda: page.balance() == "9987.50")
        equal((at_the_bank(tier, 1), at_the_bank(tier, 2)), ("9987.50", "10012.50"))
        first = browser.texts("#movements tbody tr:first-child td")
        equal((first[1], first[2], first[3]), ("2", "\u221212.50 EUR", "<b>rent</b> \u20ac"))
        equal(browser.script("return document.querySelectorAll('#movements b').length"), 0, "markup in a note")
        equal(browser.script("return document.getElementById('amount').value"), "", "the form is empty again")
        page.picture("light-transfer")
    with sub("page::the_other_account_shows_it_as_income"):
        browser.script("const s = document.getElementById('account'); s.value = '2'; s.dispatchEvent(new Event('change'))")
        until("the other balance", 10, lambda: page.balance() == "10012.50")
        equal(browser.texts("#movements tbody tr:first-child td")[2], "+12.50 EUR")
        browser.script("const s = document.getElementById('account'); s.value = '1'; s.dispatchEvent(new Event('change'))")
        until("the first balance", 10, lambda: page.balance() == "9987.50")
    with sub("page::enter_sends"):
        page.fill("3", "0.50")
        page.wait_send()
        browser.press("\ue007")
        check("0.50 EUR sent to 3" in page.notice("transfer-done"), "enter")
        until("the new balance", 15, lambda: page.balance() == "9987.00")


def check_refusals(page, tier, sub):
    account, decimals = "Enter the number of the account", "at most two decimals"
    cases = [("no_account", "", "1.00", "to", account), ("not_a_number", "two", "1.00", "to", account),
             ("no_amount", "2", "", "amount", decimals), ("letters", "2", "ten", "amount", decimals),
             ("three_decimals", "2", "1.001", "amount", decimals), ("nothing", "2", "0.00", "amount", decimals),
             ("negative", "2", "-5", "amount", decimals),
             # From here on the server decides.
             ("unknown_account", "9999", "1.00", "to", "no such account"), ("oneself", "1", "1.00", "to", "two different"),
             ("another_currency", "90", "1.00", "to", "currency"), ("too_much", "2", "99999.00", "amount", "that much")]
    before = transfers(tier)
    for name, to, amount, field, text in cases:
        with sub(f"page::refused::{name}"):
            page.fill(to, amount)
            page.send()
            said = page.notice("transfer-error")
            check(text in said, said)
            until(f"the mark on {field}", 15, lambda f=field: page.is_marked(f))
    page.picture("light-refused")
    equal(transfers(tier), before, "refused transfers in the table")
    # The browser itself notes a 4xx; nothing else may be there.
    noise = [line for line in page.browser.console() if "/api/transfers" not in line or "status of 4" not in line]
    equal(noise, [], "console")


def check_repeats(page, tier, sub):
    browser = page.browser
    with sub("page::a_double_click_moves_money_once"):
        before = transfers(tier)
        page.fill("4", "1.00")
        page.wait_send()
        browser.double_click("#send")
        page.notice("transfer-done")
        time.sleep(0.5)
        equal(transfers(tier), before + 1)
        check("1.00 EUR sent to 4" in page.notice("transfer-done"), "what is said in the end")
    with sub("page::a_lost_answer_sent_again_moves_money_once"):
        before = transfers(tier)
        page.fill("5", "2.00", "once")
        browser.script(LOSE_ANSWER)
        page.send()
        check("isn't known" in page.notice("transfer-error"), "what is said of a lost answer")
        until("it was done all the same", 15, lambda: transfers(tier) == before + 1)
        page.send()
        check("2.00 EUR sent to 5" in page.notice("transfer-done"), "the repeat's answer")
        equal(transfers(tier), before + 1)
        equal(at_the_bank(tier, 5), "10002.00")
    with sub("page::the_same_transfer_meant_twice_is_two"):
        before = transfers(tier)
        for number in (1, 2):
            page.fill("6", "3.00", "twice")
            page.send()
            until("done", 10, lambda n=number: transfers(tier) == before + n)
            page.notice("transfer-done")
            until("the form is empty", 15, lambda: browser.script("return document.getElementById('to').value") == "")
        equal(at_the_bank(tier, 6), "10006.00")


def check_looks(page, sub):
    browser = page.browser
    for scheme in ("light", "dark"):
        for width, height in ((1280, 900), (360, 740)):
            with sub(f"page::looks::{scheme}_{width}"):
                browser.emulate(width, height, scheme)
                page.open()
                equal(browser.script(STICKS_OUT), [])
                worst = browser.script(CONTRAST)
                check(worst[0][0] >= 4.5, f"contrast {worst}")
                page.picture(f"{scheme}-{width}")
    with sub("page::looks::other_pages"):
        browser.open(PAGE + "/nowhere")
        check("no such page" in browser.text("h1"), browser.text("h1"))
        page.picture("404")
        browser.emulate()
        browser.scripts_off()
        browser.open(PAGE + "/")
        page.picture("no-script")
        browser.scripts_off(False)
        check("needs JavaScript" in browser.text("noscript"), browser.text("noscript"))
    browser.console()
