// The drawing on the canvas: strokes and pictures, with moving and undo.

export class Drawing {
  constructor(canvas) {
    this.canvas = canvas;
    this.history = [];
    this.state = { items: [], x: 0, y: 0 };
    this.brush = 18;
    this.#draw();
  }

  get isEmpty() {
    return this.state.items.length === 0;
  }

  // The original picture file, if the drawing is nothing but this picture, not moved: the canvas has a lower resolution.
  // `isMnistForm` if it is a digit of a data set.
  get original() {
    const { items, x, y } = this.state;
    return items.length === 1 && items[0].file && !x && !y ? items[0] : null;
  }

  begin(point) {
    this.#change({ items: [...this.state.items, { width: this.brush, points: [this.#relative(point)] }] });
  }

  extend(point) {
    this.state.items.at(-1).points.push(this.#relative(point));
    this.#draw();
  }

  // A function that moves the drawing by (dx, dy) from its current position. One undo reverts all its calls.
  startMove() {
    const { x, y } = this.state;
    let hasMoved = false;
    return (dx, dy) => {
      if (!hasMoved) this.#change({});
      hasMoved = true;
      Object.assign(this.state, { x: x + dx, y: y + dy });
      this.#draw();
    };
  }

  // Replaces the drawing with one picture; `file` is its content.
  show(image, file = null, isMnistForm = false) {
    this.#change({ items: [{ image, file, isMnistForm }], x: 0, y: 0 });
  }

  clear() {
    if (!this.isEmpty) this.#change({ items: [], x: 0, y: 0 });
  }

  undo() {
    if (this.history.length) this.state = this.history.pop();
    this.#draw();
  }

  toBlob() {
    return new Promise((resolve) => this.canvas.toBlob(resolve, "image/png"));
  }

  #change(changes) {
    this.history = [...this.history.slice(-99), { ...this.state }];
    this.state = { ...this.state, ...changes };
    this.#draw();
  }

  #relative([x, y]) {
    return [x - this.state.x, y - this.state.y];
  }

  #draw() {
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "white";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.translate(this.state.x, this.state.y);
    for (const item of this.state.items) item.image ? this.#drawImage(context, item.image) : drawStroke(context, item);
  }

  #drawImage(context, image) {
    const { width, height } = this.canvas;
    const scale = Math.min(width / image.width, height / image.height);
    const size = [image.width * scale, image.height * scale];
    context.drawImage(image, (width - size[0]) / 2, (height - size[1]) / 2, ...size);
  }
}

function drawStroke(context, { width, points }) {
  context.lineWidth = width;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = "black";
  context.beginPath();
  context.moveTo(...points[0]);
  for (const point of points) context.lineTo(...point); // includes the first point: a dot is a stroke too
  context.stroke();
}
