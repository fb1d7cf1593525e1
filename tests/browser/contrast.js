// What on this page is hard to see: text, and the edges of fields, with their contrast where it is
// below what WCAG 2.2 asks for (4.5 in section 1.4.3, 3 in section 1.4.11).
() => {
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);

  function luminance(colour) {
    const [red, green, blue] = channels(colour).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  function background(element) {
    for (let each = element; each; each = each.parentElement) {
      const { backgroundColor } = getComputedStyle(each);
      if (channels(backgroundColor)[3] !== 0) return backgroundColor;
    }
    return "rgb(255, 255, 255)";
  }

  function contrast(colour, behind) {
    const [dark, light] = [luminance(colour), luminance(behind)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  }

  const found = [];
  function judge(what, colour, behind, least) {
    const ratio = contrast(colour, behind);
    if (!(ratio >= least)) found.push([what, ratio]);
  }

  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { data, parentElement: element } = texts.currentNode;
    if (data.trim() && element.checkVisibility() && !element.matches("button:disabled")) {
      judge(data, getComputedStyle(element).color, background(element), 4.5);
    }
  }
  for (const field of document.querySelectorAll("input, textarea")) {
    if (field.checkVisibility()) {
      const { color, borderTopColor } = getComputedStyle(field);
      judge(field.id, color, background(field), 4.5);
      judge(field.id, getComputedStyle(field, "::placeholder").color, background(field), 4.5);
      judge(field.id, borderTopColor, background(field.parentElement), 3);
    }
  }
  return found;
}
